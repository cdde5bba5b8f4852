import { describe, expect, test } from 'vitest'
import { type CrashPoint, crashPointNames } from '../src/testing/index.ts'
import { allOnce, books } from './harness/effects.ts'
import type { Running } from './harness/running.ts'
import type { GroupConfig } from './programs/consumer.ts'
import type { OrderBody } from './programs/messages.ts'
import { Stage, cleanEnd, killed, orders } from './harness/stage.ts'

/** Which process passes a point. */
const passedBy: Readonly<Record<CrashPoint, readonly ('order' | 'coupon')[]>> = {
  'publish.appended-not-committed': ['order'],
  'relay.read-not-sent': ['order'],
  'relay.sent-not-marked': ['order'],
  'relay.partly-sent': ['order'],
  'land.received-not-landed': ['coupon'],
  'land.landed-not-acknowledged': ['coupon'],
  'consume.claimed-not-handled': ['coupon'],
  'consume.handled-not-committed': ['coupon'],
  'consume.committed-not-advanced': ['coupon'],
  'consume.failure-not-recorded': ['coupon'],
  'consume.head-done-followers-held': ['coupon'],
  'lease.taken-not-read': ['order', 'coupon'],
  // Half messages have programs of their own.
  'half.prepared-not-worked': [],
  'half.worked-not-decided': [],
}

const groups: readonly GroupConfig[] = [
  { group: 'coupon' },
  { group: 'ledger', ordered: true },
  { group: 'points', batch: 20 },
]
/** The first life of the victim ends at the first passage, the second at the second. */
const passages = [1, 2]

/** One in five fails at first, one in ten is rolled back after it was published. */
const like = (n: number): Partial<OrderBody> => ({ failures: n % 5 === 0 ? 1 : 0, declined: n % 10 === 7 })

const cases = crashPointNames.flatMap((point) => passedBy[point].map((victim) => ({ point, victim })))

describe.concurrent('a process is killed and comes back, every order takes effect once', () => {
  test.for(cases)('at $point, in $victim', async ({ point, victim }, context) => {
    // So many in one queue that a window, which grows, is more than a chunk of the carrier: or it is never sent in part.
    const isBulk = point === 'relay.partly-sent'
    const stage = new Stage(context, isBulk ? { queues: 1 } : {})
    const [perLife, together] = isBulk ? [800, 800] : [40, 1]
    const ordersOf = (lives: number): readonly OrderBody[] =>
      orders(1, perLife * lives, isBulk ? undefined : like)
    const start = (name: 'order' | 'coupon', life: number, crashAt = ''): Running =>
      name === 'order'
        ? stage.order({ orders: ordersOf(life), together }, { WAYBILL_CRASH_AT: crashAt })
        : stage.consumer('coupon', groups, { WAYBILL_CRASH_AT: crashAt })

    const other = start(victim === 'order' ? 'coupon' : 'order', 1)
    for (const [i, passage] of passages.entries()) {
      const dying = start(victim, i + 1, `${point}:${passage}`)
      expect(await dying.ended).toEqual(killed)
      if (victim === 'coupon') other.tell({ type: 'place', request: i, orders: ordersOf(i + 2), together })
      else if (point.startsWith('publish')) expectNoTrace(stage)
    }
    const healed = start(victim, passages.length + 1)
    if (victim === 'order') await healed.says('placed')
    else await other.says('placed', (event) => event['request'] === passages.length - 1)
    await stage.drained(['coupon'])
    expect(await Promise.all([healed.terminate(), other.terminate()])).toEqual([cleanEnd, cleanEnd])

    const committed = ordersOf(passages.length + 1).filter((order) => !order.declined).length
    for (const { group, ordered = false } of groups)
      expect({ group, ...books(stage, 'coupon', group) }).toMatchObject({
        group,
        ...allOnce(committed, ordered),
      })
  })
})

test('a program that passes no ports of tests does not die, whatever the environment says', async (context) => {
  const stage = new Stage(context)
  for (const point of ['publish.appended-not-committed', 'consume.claimed-not-handled', 'no.such-point']) {
    const program = stage.plain({ WAYBILL_CRASH_AT: point })
    expect(await program.ended).toEqual(cleanEnd)
  }
  expect(stage.rows('shop', 'select n from effects')).toEqual([{ n: 1 }, { n: 1 }, { n: 1 }])
})

test('a program that passes them refuses a point that does not exist, before it does anything', async (context) => {
  const stage = new Stage(context)
  const program = stage.order({ orders: orders(1, 1) }, { WAYBILL_CRASH_AT: 'relay.sent' })
  expect(await program.ended).toEqual({ code: 1, signal: null })
  expect(program.output).toContain('there is no crash point "relay.sent"')
  expect(stage.rows('order', 'select * from orders')).toEqual([])
})

/** The order during whose transaction the process died is not there, nor is its message. */
function expectNoTrace(stage: Stage): void {
  const placed = stage.rows('order', "select 'order-' || n as key from orders order by rowid")
  const published = stage.rows('order', 'select key from waybill_messages order by pos')
  expect(published).toEqual(placed)
}
