/**
 * The coupon service with Waybill: the coupon and the receipt of its message are in one transaction. What comes again finds the message where it
 * landed, or the receipt.
 */

import { join } from 'node:path'
import { topic, Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../shop/broker/transport.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { orderPaid, type OrderPaidBody } from '../../shop/shared/order-paid.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createEffectsTable, insertEffect } from '../../shop/shared/tables.ts'
import { mayDieAt } from '../harness/die-at.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()
const OrderPaid = topic<OrderPaidBody>(orderPaid)

const waybill = new Waybill({
  service: group,
  database: sqlite(join(folder, `${group}.db`)),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 1_000,
  ports: { reached: mayDieAt },
})
await waybill.transaction((tx) => createEffectsTable(tx))

waybill.consume(OrderPaid, { group }, ({ id, body }, { tx }) => {
  const { orderId, publishedAtMs } = body
  insertEffect(tx, { orderId, group, messageId: id, incarnation, publishedAtMs })
})

await waybill.start()
stopWhenAsked(() => waybill.stop())
reportReady()
