import { describe, expect, test } from 'vitest'
import type { SqliteTx } from '../databases/sqlite.ts'
import { type Waybill } from '../index.ts'
import { until } from '../testing/until.ts'
import {
  OrderPaid,
  consume,
  dead,
  effect,
  effects,
  numbers,
  open,
  publish,
  settled,
  waybill,
} from './shop.fixture.ts'

describe('groups', () => {
  test('P26: a new group with older messages must say where it starts', async () => {
    await publish(3)
    waybill.consume(OrderPaid, { group: 'red-packet' }, () => {})
    await expect(waybill.start()).rejects.toThrow(/group\.start-position-needed.*3 older/)
  })

  test("P26: from 'now' skips what is there, and counts only at creation", async () => {
    await publish(3)
    consume({ from: 'now' }, (n, tx) => effect(tx, n))
    await waybill.start()
    await publish(2, undefined, 4)
    await settled(2)
    expect((await effects()).toSorted()).toEqual([4, 5])
  })

  test('messages with other tags get the disposition filtered', async () => {
    consume({ tags: 'paid || refunded' }, (n, tx) => effect(tx, n))
    await waybill.start()
    await waybill.publishNow(OrderPaid, { tag: 'paid', body: { n: 1 } })
    await waybill.publishNow(OrderPaid, { key: 'other', tag: 'created', body: { n: 2 } })
    await waybill.publishNow(OrderPaid, { key: 'none', body: { n: 3 } })
    await waybill.publishNow(OrderPaid, { tag: 'refunded', body: { n: 4 } })
    await settled(2)
    await until(
      'the filtered ones are settled',
      async () => (await waybill.search({ state: 'filtered' })).length === 2,
    )
    expect((await effects()).toSorted()).toEqual([1, 4])
  })

  test('P6: a message older than the receipts is never run, but parked in plain sight', async () => {
    let now = Date.now()
    const clockOptions = {
      retention: '1h',
      ports: { clock: { ...(await import('../system.ts')).systemClock, now: () => now } },
    } as const
    open(clockOptions)
    await publish(1)
    now += 2 * 3_600_000
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    await dead(1)
    expect(await waybill.deadLetters.list()).toMatchObject([{ cause: 'receipt.older-than-horizon' }])
    expect(await effects()).toEqual([])
  })

  test('one handler per topic and group, and consume only before start', async () => {
    consume({}, () => {})
    expect(() => consume({}, () => {})).toThrow(expect.objectContaining({ code: 'group.options-invalid' }))
    await waybill.start()
    expect(() => consume({ group: 'late' }, () => {})).toThrow(
      expect.objectContaining({ code: 'group.options-invalid' }),
    )
  })
})

describe('stopping', () => {
  test('stop lets running handlers finish, begins no new ones, and another instance goes on at once', async () => {
    let release = (): void => {}
    const entered = new Promise<void>((resolve) => {
      consume({ concurrency: 1 }, async (n, tx) => {
        resolve()
        await new Promise<void>((go) => (release = go))
        effect(tx, n)
      })
    })
    await publish(5, () => 'one-queue')
    await waybill.start()
    await entered
    const stopping = waybill.stop()
    release()
    await stopping
    open({ leaseMs: 300_000 })
    expect(await effects()).toEqual([1])
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    await settled(5)
    expect((await effects()).toSorted()).toEqual(numbers(5))
  })

  test('a handler that does not finish in time is aborted, does not commit, and its message is delivered again', async () => {
    open({ leaseMs: 1_000 })
    let aborted = false
    const entered = new Promise<void>((resolve) => {
      waybill.consume(OrderPaid, { group: 'red-packet', from: 'oldest' }, async (message, { tx, signal }) => {
        resolve()
        await new Promise<void>((go) => signal.addEventListener('abort', () => go()))
        aborted = true
        effect(tx, message.body.n)
      })
    })
    await publish(1)
    await waybill.start()
    await entered
    await waybill.stop({ withinMs: 1 })
    expect(aborted).toBe(true)
    open({ leaseMs: 1_000 })
    expect(await effects()).toEqual([])
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    // The lease of what was aborted lapses by itself: whoever held it might still have acted.
    await settled(1)
    expect(await effects()).toEqual([1])
  })
})

test('two instances share the queues of a group and together handle every message once', async () => {
  const by = new Map<string, number>()
  const start = async (name: string): Promise<Waybill<SqliteTx, 'sync'>> => {
    open()
    consume({}, (n, tx) => {
      effect(tx, n)
      by.set(name, (by.get(name) ?? 0) + 1)
    })
    await waybill.start()
    return waybill
  }
  const first = await start('first')
  await start('second')
  await until(
    'both hold queues',
    async () =>
      new Set(
        (await first.lag()).filter((queue) => queue.reader === 'red-packet').map((queue) => queue.owner),
      ).size === 2,
  )
  await publish(60)
  await settled(60)
  expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(60))
  expect([...by.keys()].toSorted()).toEqual(['first', 'second'])
})

test('a long backlog leaves room for timers, heartbeats and signals', async () => {
  let handledWhenTimerRan = -1
  let handled = 0
  consume({}, () => void handled++)
  await waybill.transaction(
    (tx) =>
      void waybill.publish(
        tx,
        OrderPaid,
        numbers(2_000).map((n) => ({ body: { n } })),
      ),
  )
  await waybill.start()
  setImmediate(() => (handledWhenTimerRan = handled))
  await until('all are handled', () => handled === 2_000)
  expect(handledWhenTimerRan).toBeLessThan(500)
})
