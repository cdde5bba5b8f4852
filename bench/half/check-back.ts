import { type MessageId, topic } from 'waybill'
import type { Findings, Measure, Run } from '../harness/bench.ts'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { compare, figuresOf } from '../harness/waiting.ts'
import { newWaybill, type Order, orderPaid, orders, type SqliteWaybill } from '../sqlite/messages.ts'
import { type HalfSizes, halfSizes } from './sizes.ts'
import { anyKey, waitingHalves } from './waiting-halves.ts'

/** How many half messages are decided a second by checks that answer at once. */
export const checkBackMeasure: Measure = {
  name: 'check-back',
  title: 'Half messages decided by check-back',
  measure,
}

/** The topic, checked as soon as anybody checks. */
const soonChecked = topic<Order>(orderPaid.name, undefined, { half: { firstCheck: '10ms' } })

async function measure(run: Run): Promise<Findings> {
  const sizes = halfSizes(run)
  const { rounds, block, waiting } = sizes
  const paths = await waitingHalves(run)
  const rates = await compare(run, 'half messages: check-back', paths, rounds, {
    async before() {
      for (const path of Object.values(paths)) await leaveUndecided(run, path, sizes)
    },
    blocks: 1,
    size: block,
    block: (path) => checkBack(path, block),
  })
  return {
    how: `${rounds} rounds in random order of ${block} half messages of 1 KiB whose checks are due: from start() until the last is decided, by a check that answers 'commit' at once. On a file with ${waiting} more undecided ones of the same topic, their checks due in a year, and on two without.`,
    figures: figuresOf(rates, 'msg/s'),
  }
}

async function leaveUndecided(run: Run, path: string, sizes: HalfSizes): Promise<void> {
  const waybill = newWaybill(path)
  waybill.onCheckBack(soonChecked, async () => 'unknown')
  const bodies = orders(sizes.bodyBytes)
  for (let i = 0; i < sizes.block; i++) {
    const body = bodies[i % bodies.length]!
    const key = anyKey(run, sizes.waiting)
    await waybill.publishHalf(soonChecked, { key, body }, async () => 'unknown')
  }
  await waybill.stop()
}

async function checkBack(path: string, count: number): Promise<number> {
  const waybill = newWaybill(path)
  const asked = Promise.withResolvers<MessageId>()
  let checked = 0
  waybill.onCheckBack(soonChecked, async (half) => {
    if (++checked === count) asked.resolve(half.id)
    return 'commit'
  })
  const startMs = nowMs()
  await waybill.start()
  // Those asked together are decided in the order in which they were asked.
  await decided(waybill, await asked.promise)
  const seconds = secondsSince(startMs)
  await waybill.stop()
  return seconds
}

async function decided(waybill: SqliteWaybill, id: MessageId): Promise<void> {
  while ((await waybill.halves.list({ id, states: ['committed'] })).length === 0)
    await new Promise((turn) => setImmediate(turn))
}
