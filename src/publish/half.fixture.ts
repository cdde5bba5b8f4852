import { afterEach, beforeEach } from 'vitest'
import { silentLog } from '../core/log.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import {
  type Found,
  type HalfAnswer,
  type HalfOptions,
  type SearchQuery,
  type Topic,
  Waybill,
  topic,
} from '../index.ts'
import { systemPorts } from '../system.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'
import { VirtualClock } from '../testing/virtual-clock.ts'

export interface Order {
  readonly id: string
}
export type Check = (id: string) => HalfAnswer | Promise<HalfAnswer>
export type Instance = Waybill<SqliteTx, 'sync'>

export const person = { by: 'ann', because: 'looked it up' }
let folder: ReturnType<typeof temporaryFolder>
export let clock: VirtualClock
export let handled: string[]
export const opened: Instance[] = []

export function paid(half: HalfOptions = {}): Topic<Order> {
  return topic<Order>('order.paid', undefined, { half })
}

/** An instance of the order service that consumes its own topic, and answers checks if it is given a check. */
export function open(OrderPaid: Topic<Order>, check?: Check): Instance {
  const waybill = new Waybill({
    service: 'order',
    database: sqlite(folder.file('order.db')),
    log: silentLog,
    ports: { ...systemPorts, clock, log: silentLog },
  })
  if (check) waybill.onCheckBack(OrderPaid, async (half) => check(half.body.id))
  waybill.consume(
    OrderPaid,
    { group: 'red-packet', from: 'oldest' },
    (message) => void handled.push(message.body.id),
  )
  opened.push(waybill)
  return waybill
}

export async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) await clock.advance(Math.min(500, left))
}

/** Waits in real time while virtual time goes on. */
export function eventually(what: string, condition: () => unknown): Promise<unknown> {
  return until(what, async () => {
    await pass(500)
    return condition()
  })
}

/** Of what is found, what lies in the log: nothing of it was read by a group yet. */
export async function inLog(waybill: Instance, query: SearchQuery): Promise<readonly Found[]> {
  return (await waybill.search(query)).filter(({ groups }) => groups.length === 0)
}

export const half = (
  OrderPaid: Topic<Order>,
  waybill: Instance,
  id: string,
  answer: HalfAnswer,
): ReturnType<Instance['publishHalf']> =>
  waybill.publishHalf(OrderPaid, { key: id, body: { id } }, async () => answer)

/** Gives each test of the file a fresh database, a clock that stands still, and nothing handled. */
beforeEach(() => {
  folder = temporaryFolder()
  clock = new VirtualClock()
  handled = []
})

afterEach(async () => {
  for (const waybill of opened.splice(0)) await Promise.all([waybill.stop({ withinMs: 0 }), pass(1_000)])
  folder.remove()
})
