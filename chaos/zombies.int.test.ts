import { describe, expect, test } from 'vitest'
import { type CrashPoint, until } from '../src/testing/index.ts'
import { allOnce, books } from './harness/effects.ts'
import type { Running } from './harness/running.ts'
import { Stage, cleanEnd, orders } from './harness/stage.ts'
import type { GroupConfig } from './programs/consumer.ts'
import type { OrderBody } from './programs/messages.ts'

const groups: readonly GroupConfig[] = [{ group: 'coupon' }, { group: 'ledger', ordered: true }]

describe.concurrent('P16: a process that was paused for longer than its lease wakes up as a zombie', () => {
  test('a handler that goes on writes nothing: its effect is refused, its successor had it', async (context) => {
    const stage = new Stage(context, { queues: 1 })
    const order = stage.order({ orders: orders(1, 20, (n) => ({ waits: n === 5 })) })
    await order.says('placed')
    const zombie = stage.consumer('coupon', groups)
    for (const { group } of groups) await zombie.says('waits', (event) => event['group'] === group)
    await zombie.standStill()

    const successor = stage.consumer('coupon', groups)
    // They run alone, one after the other, in either order.
    await Promise.all(
      groups.map(async ({ group }) => {
        await successor.says('waits', (event) => event['group'] === group)
        successor.tell({ type: 'go', n: 5, group })
      }),
    )
    await stage.drained(['coupon'])
    zombie.goOn()
    for (const { group } of groups) {
      zombie.tell({ type: 'go', n: 5, group })
      await zombie.says('refused', (event) => event['group'] === group)
    }

    // Awake, it takes its share again, with leases of its own.
    order.tell({ type: 'place', request: 1, orders: orders(21, 60) })
    await order.says('placed', (event) => event['request'] === 1)
    await stage.drained(['coupon'])
    expect(await Promise.all([zombie.terminate(), successor.terminate()])).toEqual([cleanEnd, cleanEnd])
    expect(stage.rows('coupon', 'select distinct pid from effects where n = 5')).toEqual([
      { pid: successor.pid },
    ])
    for (const { group, ordered = false } of groups)
      expect(books(stage, 'coupon', group)).toMatchObject(allOnce(60, ordered))
  })

  /** Where it holds no lock of the database, another can take over while it stands still. */
  const outsideTransactions: readonly { point: CrashPoint; who: 'order' | 'coupon'; passage: number }[] = [
    { point: 'relay.read-not-sent', who: 'order', passage: 2 },
    { point: 'relay.sent-not-marked', who: 'order', passage: 2 },
    { point: 'relay.partly-sent', who: 'order', passage: 1 },
    { point: 'lease.taken-not-read', who: 'order', passage: 2 },
    { point: 'land.received-not-landed', who: 'coupon', passage: 2 },
    { point: 'land.landed-not-acknowledged', who: 'coupon', passage: 2 },
    { point: 'consume.committed-not-advanced', who: 'coupon', passage: 3 },
    { point: 'consume.failure-not-recorded', who: 'coupon', passage: 2 },
    { point: 'consume.head-done-followers-held', who: 'coupon', passage: 2 },
    { point: 'lease.taken-not-read', who: 'coupon', passage: 2 },
  ]

  test.for(outsideTransactions)('at $point of $who', async ({ point, who, passage }, context) => {
    const { stage, start, placeRest, committed } = scene(context, point)
    const order = who === 'order' ? undefined : start('order')
    const zombie = start(who, `${point}:${passage}`)
    await zombie.standsStill()
    const successor = start(who)
    const other = order ?? start('coupon')
    if (who === 'order') await successor.says('placed')
    await stage.drained(['coupon'])

    zombie.goOn()
    await placeRest(order ?? successor)
    await stage.drained(['coupon'])
    expect(await Promise.all([zombie, successor, other].map((running) => running.terminate()))).toEqual([
      cleanEnd,
      cleanEnd,
      cleanEnd,
    ])
    expectAllOnce(stage, committed)
  })

  /** Where it holds the lock of the database nobody can take over; when it goes on, its fence still holds. */
  const insideTransactions: readonly { point: CrashPoint; who: 'order' | 'coupon' }[] = [
    { point: 'publish.appended-not-committed', who: 'order' },
    { point: 'consume.claimed-not-handled', who: 'coupon' },
    { point: 'consume.handled-not-committed', who: 'coupon' },
  ]

  test.for(insideTransactions)(
    'at $point of $who, in an open transaction',
    async ({ point, who }, context) => {
      const { stage, start, placeRest, committed } = scene(context, point)
      const order = who === 'order' ? undefined : start('order')
      const zombie = start(who, `${point}:3`)
      await zombie.standsStill()
      const successor = start(who)
      const other = order ?? start('coupon')
      const latest = `select max(expires_at) from waybill_leases where owner is not null`
      await until('its leases are long lapsed', () => Date.now() > stage.number(who, latest) + 500)

      zombie.goOn()
      if (who === 'order') await successor.says('placed')
      await placeRest(order ?? successor)
      await stage.drained(['coupon'])
      expect(await Promise.all([zombie, successor, other].map((running) => running.terminate()))).toEqual([
        cleanEnd,
        cleanEnd,
        cleanEnd,
      ])
      expectAllOnce(stage, committed)
    },
  )
})

/** Sixty orders, or so many at once that they are sent in part, and thirty that come later. */
function scene(context: ConstructorParameters<typeof Stage>[0], point: CrashPoint) {
  const isBulk = point === 'relay.partly-sent'
  const stage = new Stage(context, isBulk ? { queues: 1 } : {})
  const like = (n: number): Partial<OrderBody> => ({ failures: n % 5 === 0 ? 1 : 0 })
  const [count, together] = isBulk ? [250, 250] : [60, 1]
  const start = (who: 'order' | 'coupon', stopAt = ''): Running =>
    who === 'order'
      ? stage.order({ orders: orders(1, count, like), together }, { CHAOS_STOP_AT: stopAt })
      : stage.consumer('coupon', groups, { CHAOS_STOP_AT: stopAt })
  const placeRest = async (order: Running): Promise<void> => {
    order.tell({ type: 'place', request: 1, orders: orders(count + 1, count + 30, like) })
    await order.says('placed', (event) => event['request'] === 1)
  }
  return { stage, start, placeRest, committed: count + 30 }
}

function expectAllOnce(stage: Stage, committed: number): void {
  for (const { group, ordered = false } of groups)
    expect({ group, ...books(stage, 'coupon', group) }).toMatchObject({
      group,
      ...allOnce(committed, ordered),
    })
}
