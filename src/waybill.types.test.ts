import { z } from 'zod'
import type { DatabaseSync } from 'node:sqlite'
import { sqlite } from './databases/sqlite.ts'
import { type MessageId, Waybill, binary, topic } from './index.ts'

// Checked by tsc alone: each expectation fails to compile when it is not met.
declare const handle: DatabaseSync
type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function expectType<A, B>(same: Equals<A, B>): void {
  void same
}

const waybill = new Waybill({ service: 'order', database: sqlite('order.db') })
const OrderPaid = topic<{ id: string }>('order.paid')
const Priced = topic('order.priced', z.object({ amount: z.string().transform(Number) }))
const Scan = topic('scan.uploaded', binary)

export function publishing(): void {
  const id = waybill.publish(handle, OrderPaid, { body: { id: '1' } })
  expectType<typeof id, MessageId>(true)
  const ids = waybill.publish(handle, OrderPaid, [{ body: { id: '1' } }])
  expectType<typeof ids, MessageId[]>(true)
  const later = waybill.publishNow(OrderPaid, { body: { id: '1' } })
  expectType<typeof later, Promise<MessageId>>(true)
  waybill.publish(handle, Priced, { body: { amount: '12' } })
  waybill.publish(handle, Scan, { body: new Uint8Array(1) })
  waybill.publishAll(handle, [
    OrderPaid.message({ body: { id: '1' } }),
    Scan.message({ body: new Uint8Array(1) }),
  ])
  // @ts-expect-error a body of another type
  waybill.publish(handle, OrderPaid, { body: { id: 1 } })
  // @ts-expect-error publish takes the schema's input, not its output
  waybill.publish(handle, Priced, { body: { amount: 12 } })
  // @ts-expect-error a field that does not exist
  waybill.publish(handle, OrderPaid, { body: { id: '1' }, orderingKey: 'x' })
  // @ts-expect-error no handle
  waybill.publish(OrderPaid, { body: { id: '1' } })
}

export function consuming(): void {
  waybill.consume(Priced, { group: 'a' }, (message, { tx, publish }) => {
    expectType<typeof message.body, { amount: number }>(true)
    tx.prepare('insert into prices values (?)').run(message.body.amount)
    const id = publish(OrderPaid, { body: { id: '1' } })
    expectType<typeof id, MessageId>(true)
  })
  waybill.consume(OrderPaid, { group: 'b', batch: 100 }, (messages) => {
    expectType<(typeof messages)[number]['body'], { id: string }>(true)
  })
  // @ts-expect-error a handler's outcome is a closed vocabulary
  waybill.consume(OrderPaid, { group: 'c' }, () => true)
  // @ts-expect-error a batch handler gets a list
  waybill.consume(OrderPaid, { group: 'd', batch: 100 }, (message) => void message.body)
}
