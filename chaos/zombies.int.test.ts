import { type TestContext, describe, expect, test } from 'vitest'
import { type CrashPoint, until } from '../src/testing/index.ts'
import { allOnce, books } from './harness/effects.ts'
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
    // In the middle of another effect, of a heartbeat, or of what it asks the carrier, it would hold the lock of a database.
    const holdsLock = () => stage.isLocked('coupon') || stage.isLocked('broker')
    const others = () => stage.number('coupon', 'select count(*) from effects')
    await until('all others are handled', () => others() === 19 + 4)
    await zombie.standStill()
    while (holdsLock()) {
      zombie.goOn()
      await zombie.standStill()
    }

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
    const { stage, zombie, holdsLock, expectAllOnce } = await scene(context, point, who, passage)
    // What it had placed or held when it stood still goes its way without it, unless another of its handlers had just begun.
    if (holdsLock) await leasesLapsed(stage, who)
    else await stage.drained(['coupon'])
    zombie.goOn()
    await expectAllOnce()
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
      const { stage, zombie, expectAllOnce } = await scene(context, point, who, 3)
      await leasesLapsed(stage, who)
      zombie.goOn()
      await expectAllOnce()
    },
  )
})

async function leasesLapsed(stage: Stage, who: 'order' | 'coupon'): Promise<void> {
  const latest = 'select max(expires_at) from waybill_leases where owner is not null'
  await until('its leases are long lapsed', () => Date.now() > stage.number(who, latest) + 500)
}

/**
 * Sixty orders, or so many at once that they are sent in part. The victim stands still at the point, and another of its kind is
 * started. `expectAllOnce` is what follows its awakening: thirty orders more, and everything once.
 */
async function scene(context: TestContext, point: CrashPoint, who: 'order' | 'coupon', passage: number) {
  const isBulk = point === 'relay.partly-sent'
  const stage = new Stage(context, isBulk ? { queues: 1 } : {})
  const like = (n: number): Partial<OrderBody> => ({ failures: n % 5 === 0 ? 1 : 0 })
  const [count, together] = isBulk ? [800, 800] : [60, 1]
  const stopAt = { CHAOS_STOP_AT: `${point}:${passage}` }

  const placer = stage.order({ orders: orders(1, count, like), together }, who === 'order' ? stopAt : {})
  const zombie = who === 'order' ? placer : stage.consumer('coupon', groups, stopAt)
  await zombie.standsStill()
  const holdsLock = who === 'coupon' && stage.isLocked(who)
  const successor = who === 'order' ? stage.order() : stage.consumer('coupon', groups)
  const other = who === 'order' ? stage.consumer('coupon', groups) : placer

  const expectAllOnce = async (): Promise<void> => {
    await placer.says('placed')
    const second = who === 'order' ? successor : placer
    second.tell({ type: 'place', request: 1, orders: orders(count + 1, count + 30, like) })
    await second.says('placed', (event) => event['request'] === 1)
    await stage.drained(['coupon'])
    for (const running of [zombie, successor, other]) expect(await running.terminate()).toEqual(cleanEnd)
    for (const { group, ordered = false } of groups)
      expect({ group, ...books(stage, 'coupon', group) }).toMatchObject({
        group,
        ...allOnce(count + 30, ordered),
      })
  }
  return { stage, zombie, holdsLock, expectAllOnce }
}
