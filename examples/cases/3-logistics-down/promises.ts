import type { PaymentCallback } from '../../shop/shared/payment-callback.ts'
import type { CaseContext } from '../case.ts'
import type { CaseSide } from '../harness/side.ts'
import { bearableCallsPerSecond, callsPerSecond } from './rate.ts'

const busiestSecond = `select max(calls) as n from (
  select (select count(*) from calls near where near.at_ms between one.at_ms and one.at_ms + 999) as calls from calls one)`

/** What the books of the orders do not say, from those of the logistics company and of the warehouse. Prints it, and throws where it is wrong. */
export function checkPromises(
  context: CaseContext,
  side: CaseSide,
  payments: readonly PaymentCallback[],
): void {
  const charged = count(
    side,
    'warehouse',
    'waybill_v_dispositions',
    'select sum(attempts) as n from waybill_v_dispositions',
  )
  const calls = count(side, 'logistics', 'calls', 'select count(*) as n from calls')
  const busiest = count(side, 'logistics', 'calls', busiestSecond)
  const shipped = shippedPerCustomer(side)
  context.say(`nothing burnt: ${charged} attempts charged to messages`)
  context.say(
    `${calls} calls, ${[...shipped.values()].flat().length} shipments: the repeated call shipped nothing`,
  )
  context.say(`at most ${busiest} calls in a second; ${callsPerSecond} begin per second`)
  for (const [customer, orders] of shipped) context.say(`${customer}: ${orders.join(' ')}`)

  if (charged !== 0) throw new Error(`${charged} attempts were charged for an outage of logistics`)
  if (busiest > bearableCallsPerSecond) throw new Error(`${busiest} calls came in one second`)
  for (const [customer, orders] of Map.groupBy(payments, ({ userId }) => userId)) {
    const paid = orders.map(({ orderId }) => orderId).join(' ')
    if (shipped.get(customer)?.join(' ') !== paid)
      throw new Error(`${customer} paid for ${paid}, in this order, which is not that of the shipments`)
  }
}

function shippedPerCustomer(side: CaseSide): ReadonlyMap<string, readonly string[]> {
  const rows = side.rows('logistics', 'shipments', 'select customer, order_id from shipments order by number')
  const perCustomer = Map.groupBy(rows, (row) => String(row['customer']))
  return new Map(
    [...perCustomer].map(([customer, own]) => [customer, own.map((row) => String(row['order_id']))]),
  )
}

function count(side: CaseSide, service: string, table: string, query: string): number {
  return Number(side.rows(service, table, query)[0]?.['n'])
}
