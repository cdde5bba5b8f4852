/**
 * The order service with Waybill. The event is published in the transaction that writes the order, under a dedup key: a repeated callback
 * publishes nothing. What the relay sends again, because no answer came, has the same id and is recognised where it lands.
 */

import { join } from 'node:path'
import { topic, Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../shop/broker/transport.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { serveJson } from '../../shop/shared/http.ts'
import { orderPaid, type OrderPaidBody } from '../../shop/shared/order-paid.ts'
import {
  parsePaymentCallback,
  type PaymentAnswer,
  type PaymentCallback,
} from '../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createOrdersTable, insertOrder } from '../../shop/shared/tables.ts'
import { bookPayment } from '../../shop/shared/third-parties.ts'

const { folder, port, brokerUrl } = serviceArguments()
const OrderPaid = topic<OrderPaidBody>(orderPaid)

const waybill = new Waybill({
  service: 'order',
  database: sqlite(join(folder, 'order.db')),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2_000,
})
await waybill.transaction((tx) => createOrdersTable(tx))

async function paid(callback: PaymentCallback): Promise<PaymentAnswer> {
  const { orderId, userId, amount, notification } = callback
  await bookPayment(orderId, notification)
  await waybill.transaction((tx) => {
    insertOrder(tx, callback)
    waybill.publish(tx, OrderPaid, {
      key: orderId,
      shardingKey: userId,
      dedupKey: `paid:${orderId}`,
      body: { orderId, userId, amount, publishedAtMs: Date.now() },
    })
  })
  return { answer: 'paid' }
}

await waybill.start()
const server = await serveJson(port, {
  'POST /payments/callback': (body) => paid(parsePaymentCallback(body)),
})
stopWhenAsked(async () => {
  await server.close()
  await waybill.stop()
})
reportReady({ port: server.port })
