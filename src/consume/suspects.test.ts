import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { WaybillError } from '../core/errors.ts'
import { sqlite } from '../databases/sqlite.ts'
import { Waybill, fixedRetries } from '../index.ts'
import { until } from '../testing/until.ts'
import { OrderPaid, consume, effect, effects, folder, open, publish, waybill } from './shop.fixture.ts'

/** Another process's lease that lapsed without a word: what it may have been handling is suspect. */
function leaveSuspects(): void {
  const database = new DatabaseSync(folder.file('shop.db'))
  database.exec(`update waybill_leases set owner = 'dead', expires_at = 1, running_max = 100`)
  database.close()
}

function crashes(): readonly unknown[] {
  const database = new DatabaseSync(folder.file('shop.db'), { readOnly: true })
  const rows = database.prepare('select crashes from waybill_dispositions where crashes <> 0').all()
  database.close()
  return rows
}

/** Declares the group, so that its leases exist, and stops. */
async function declareGroup(): Promise<void> {
  const instance = new Waybill({ service: 'shop', database: sqlite(folder.file('shop.db')) })
  instance.consume(OrderPaid, { group: 'red-packet', from: 'oldest' }, () => {})
  await instance.start()
  await instance.stop()
}

describe('P17: what a dead process may have been handling', () => {
  test('takes effect once, alone, and is done', async () => {
    await declareGroup()
    await publish(20)
    leaveSuspects()
    let running = 0
    let most = 0
    consume({}, async (n, tx) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      effect(tx, n)
    })
    await waybill.start()
    await until('all are done', async () => (await effects()).length === 20)
    expect(most).toBe(1)
    expect(crashes()).toEqual([])
  })

  test('is not blamed when the database fails under it, however often', async () => {
    await declareGroup()
    await publish(1)
    leaveSuspects()
    let runs = 0
    consume({ retry: fixedRetries() }, (n, tx) => {
      // Each delivery is re-run five times at once; so this is five deliveries.
      if (++runs <= 30) throw new WaybillError('store.busy', 'planted')
      effect(tx, n)
    })
    await waybill.start()
    await until('it is done', async () => (await effects()).length === 1)
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test('is not blamed by a process that lives: a mark is found only where a process died', async () => {
    await declareGroup()
    await publish(1)
    for (let stops = 0; stops < 4; stops++) {
      leaveSuspects()
      const leaving = open()
      const began = Promise.withResolvers<void>()
      consume({}, () => {
        began.resolve()
        return new Promise(() => {})
      })
      await leaving.start()
      await began.promise
      await leaving.stop({ withinMs: 0 })
    }
    expect(crashes()).toEqual([{ crashes: -1 }])
  })

  test('is filtered by its tag also where it follows one that failed: the handler sees only what it asked for', async () => {
    await declareGroup()
    const seen: string[] = []
    const group = open()
    group.consume(
      OrderPaid,
      { group: 'ledger', from: 'oldest', order: 'sharding-key', tags: 'paid', retry: fixedRetries('20ms') },
      (message, { attempt }) => {
        if (message.body.n === 1 && attempt === 1) throw new Error('the head fails once')
        seen.push(`${message.tag} ${message.body.n}`)
      },
    )
    await group.transaction((tx) => {
      for (const [n, tag] of [
        [1, 'paid'],
        [2, 'refunded'],
        [3, 'paid'],
      ] as const)
        group.publish(tx, OrderPaid, { key: String(n), shardingKey: 'user', tag, body: { n } })
    })
    await group.start()
    // Comes while the head is being retried, so that it is read as blocked.
    await until('the head has failed', async () => (await group.search({ state: 'retrying' })).length > 0)
    await group.publishNow(OrderPaid, { key: '4', shardingKey: 'user', tag: 'refunded', body: { n: 4 } })
    await until('all are settled', async () => {
      const states = (await group.search({ group: 'ledger' })).flatMap(({ groups }) =>
        groups.filter(({ group: name }) => name === 'ledger').map(({ state }) => state),
      )
      return states.length === 4 && states.every((state) => state === 'done' || state === 'filtered')
    })
    expect(seen).toEqual(['paid 1', 'paid 3'])
  })
})
