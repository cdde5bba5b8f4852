import { writeFileSync } from 'node:fs'
import { type TestContext, describe, expect, test } from 'vitest'
import { freshDatabase, requireService, serviceNames } from '../../scripts/services/index.ts'
import { lockOf } from '../../src/stores/mysql/locks.ts'
import { temporaryFolder, until } from '../../src/testing/index.ts'
import { Running } from '../harness/running.ts'
import { Shop, expectAllOnce, group, numbers } from './harness/shop.ts'
import type { ZombieConfig } from './programs/zombie.ts'

const places = {
  'consume.claimed-not-handled': 'has claimed a receipt',
  'consume.handled-not-committed': 'has moved the cursor as well',
} as const

/** What the heartbeats of the group take turns by. */
const heartbeatLock = {
  postgres: `select pg_advisory_xact_lock(hashtextextended('${group}', 7261847004))`,
  mariadb: `select n from waybill_locks where n = ${lockOf('members', group)} for update`,
}

for (const name of serviceNames) {
  const found = await requireService(name)

  describe.skipIf('skipped' in found)(`${name}, with an instance that stands still in a transaction`, () => {
    for (const [at, what] of Object.entries(places))
      test(`P16: a successor ends the open transaction of a zombie that ${what}, and no business transaction that is in nobody’s way`, async (context) => {
        await using database = await freshDatabase(name, (found as { url: string }).url)
        await using shop = await Shop.open(context, name, database.url)
        const handle = shop.connect()
        const publisher = shop.instance(handle)
        await shop.place(publisher, handle, 1)
        const zombie = startZombie(context, { name, url: database.url, at: at as ZombieConfig['at'] })
        await zombie.standsStill()
        for (const n of [2, 3, 4]) await shop.place(publisher, handle, n)

        await using taken = await handle.take()
        const { tx } = taken
        await handle.on(tx, 'start transaction')
        await handle.on(tx, 'insert into orders values (?)', 5)
        await shop.consumer()
        await until('all but one are handled', async () => new Set(await shop.handled()).size === 4)
        await handle.on(tx, 'rollback')
        // It finds its connection gone and its lease too, and goes on as any other instance.
        zombie.goOn()
        await shop.place(publisher, handle, 5)
        await expectAllOnce(shop, numbers(1, 5))
        expect(zombie.isRunning).toBe(true)
      })

    test('P16: a heartbeat that stands still in the middle does not stop those of the others for long', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect()
      await using taken = await handle.take()
      const { tx } = taken
      await handle.on(tx, 'start transaction')
      await handle.on(tx, heartbeatLock[name])
      await shop.consumer()
      await shop.placeSurely(shop.instance(handle), handle, 1)
      await expectAllOnce(shop, [1])
      const committed = await handle.on(tx, 'commit').then(
        () => true,
        () => false,
      )
      expect(committed).toBe(false)
    })
  })
}

function startZombie(context: TestContext, config: ZombieConfig): Running {
  const folder = temporaryFolder()
  const file = folder.file('zombie.json')
  writeFileSync(file, JSON.stringify(config))
  const zombie = new Running('../servers/programs/zombie', file, {})
  context.onTestFailed(() => console.error(zombie.output))
  context.onTestFinished(async () => {
    await zombie.kill()
    folder.remove()
  })
  return zombie
}
