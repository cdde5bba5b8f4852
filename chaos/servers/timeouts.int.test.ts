import { describe, expect, test } from 'vitest'
import { isWaybillError } from 'waybill'
import { freshDatabase, isOnMysql, requireService, serviceNames } from '../../scripts/services/index.ts'
import { OrderPaid, Shop, expectAllOnce } from './harness/shop.ts'

/** How long a statement may take, and how long it may wait for a lock. */
const settings = {
  postgres: { statement: '-c statement_timeout=300', lock: '-c lock_timeout=300' },
  mariadb: { statement: 'set max_statement_time = 0.3', lock: 'set innodb_lock_wait_timeout = 1' },
}
const slow = { postgres: 'select pg_sleep(60)', mariadb: 'select sleep(60)' }

for (const name of serviceNames) {
  const hasStatementTimeout = name === 'postgres' || !isOnMysql
  const notClaimed = hasStatementTimeout ? '' : ' (not claimed: MySQL limits the time of reads only)'
  const found = await requireService(name)

  describe.skipIf('skipped' in found)(`${name}, with time-outs for statements and locks`, () => {
    test.runIf(hasStatementTimeout)(
      `a statement of a handler that takes too long fails its delivery, which is tried again${notClaimed}`,
      async (context) => {
        await using database = await freshDatabase(name, (found as { url: string }).url)
        await using shop = await Shop.open(context, name, database.url)
        const handle = shop.connect({ settings: settings[name].statement })
        const attempts: number[] = []
        await shop.consumer(handle, async (_, { tx, attempt }) => {
          attempts.push(attempt)
          if (attempt < 3) await handle.on(tx, slow[name])
        })
        await shop.place(shop.instance(handle), handle, 1)
        await expectAllOnce(shop, [1])
        expect(attempts).toEqual([1, 2, 3])
      },
    )

    for (const what of ['statement', 'lock'] as const)
      test.runIf(what === 'lock' || hasStatementTimeout)(
        `P27: a publish that waits for a dedup key for longer than the ${what} time-out is refused with a code, and goes through once the key is free${what === 'lock' ? '' : notClaimed}`,
        async (context) => {
          await using database = await freshDatabase(name, (found as { url: string }).url)
          await using shop = await Shop.open(context, name, database.url)
          const handle = shop.connect({ settings: settings[name][what] })
          const publisher = shop.instance(handle)
          await shop.consumer()
          const publish = (): Promise<unknown> =>
            publisher.transaction(async (tx) => {
              await handle.on(tx, 'insert into orders values (?)', 1)
              await publisher.publish(tx, OrderPaid, { dedupKey: 'payment-1', body: { n: 1 } })
            })
          await using taken = await handle.take()
          const { tx } = taken
          await handle.on(tx, 'start transaction')
          await publisher.publish(tx, OrderPaid, { dedupKey: 'payment-1', body: { n: 0 } })
          const refused = await publish().catch((error: unknown) => error)
          expect(isWaybillError(refused, 'store.busy')).toBe(true)
          await handle.on(tx, 'rollback')
          await publish()
          await expectAllOnce(shop, [1])
        },
      )

    test('a handler that waits for a lock in vain is run again without an attempt, and takes effect once it gets it', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect({ settings: settings[name].lock })
      await using taken = await shop.witness.take()
      const { tx } = taken
      await shop.witness.on(tx, 'start transaction')
      await shop.witness.on(tx, 'update stock set amount = 1 where id = 1')
      const attempts: number[] = []
      const hasWaited = Promise.withResolvers<void>()
      await shop.consumer(handle, async (_, effect) => {
        attempts.push(effect.attempt)
        if (attempts.length === 3) hasWaited.resolve()
        await handle.on(effect.tx, 'update stock set amount = amount + 1 where id = 1')
      })
      await shop.place(shop.instance(handle), handle, 1)
      await hasWaited.promise
      await shop.witness.on(tx, 'rollback')
      await expectAllOnce(shop, [1])
      expect(new Set(attempts)).toEqual(new Set([1]))
    })
  })
}
