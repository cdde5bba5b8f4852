/** The order service with Waybill: the message is written in the transaction of the order, and relayed from there until it has arrived. */

import { join } from 'node:path'
import { Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../../shop/broker/transport.ts'
import { serviceArguments } from '../../../shop/shared/arguments.ts'
import { serveJson } from '../../../shop/shared/http.ts'
import { parsePaymentCallback, type PaymentCallback } from '../../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../../shop/shared/process.ts'
import { createOrdersTable, insertOrder } from '../../../shop/shared/tables.ts'
import { OrderPaid } from '../../../shop/waybill/topics.ts'

const { folder, brokerUrl } = serviceArguments()

const waybill = new Waybill({
  service: 'order',
  database: sqlite(join(folder, 'order.db')),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2000,
})
await waybill.transaction((tx) => createOrdersTable(tx))

async function paid(callback: PaymentCallback): Promise<object> {
  const { orderId, userId, amount } = callback
  await waybill.transaction((tx) => {
    if (!insertOrder(tx, callback)) return
    waybill.publish(tx, OrderPaid, {
      key: orderId,
      shardingKey: userId,
      body: { orderId, userId, amount, publishedAtMs: Date.now() },
    })
  })
  return { answer: 'paid' }
}

await waybill.start()
const server = await serveJson(0, {
  'POST /payments/callback': (body) => paid(parsePaymentCallback(body)),
})
stopWhenAsked(async () => {
  await server.close()
  await waybill.stop()
})
reportReady({ port: server.port })
