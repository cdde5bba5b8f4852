/**
 * The order service as it is often written: it commits the order, and then tells the broker. When that fails it tries again a few
 * times; then it gives up, because the order is committed and the customer has been waiting long enough.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { BrokerClient } from '../../../shop/broker/client.ts'
import { serviceArguments } from '../../../shop/shared/arguments.ts'
import { serveJson } from '../../../shop/shared/http.ts'
import { orderPaid, type OrderPaidBody } from '../../../shop/shared/order-paid.ts'
import { parsePaymentCallback, type PaymentCallback } from '../../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../../shop/shared/process.ts'
import { createOrdersTable, insertOrder, openDatabase } from '../../../shop/shared/tables.ts'

const { folder, brokerUrl } = serviceArguments()
const publishTries = 3
const retryAfterMs = 50

const database = openDatabase(join(folder, 'order.db'))
createOrdersTable(database)
const broker = new BrokerClient(brokerUrl)

async function paid(callback: PaymentCallback): Promise<object> {
  const { orderId, userId, amount } = callback
  insertOrder(database, callback)
  await tell({ orderId, userId, amount, publishedAtMs: Date.now() })
  return { answer: 'paid' }
}

async function tell(body: OrderPaidBody): Promise<void> {
  for (let attempt = 1; attempt <= publishTries; attempt += 1) {
    try {
      await broker.publish([{ topic: orderPaid, key: body.orderId, body }])
      return
    } catch (error) {
      console.error(`publishing ${body.orderId}, attempt ${attempt}:`, error)
      await sleep(retryAfterMs * attempt)
    }
  }
}

const server = await serveJson(0, {
  'POST /payments/callback': (body) => paid(parsePaymentCallback(body)),
})
stopWhenAsked(async () => {
  await server.close()
  database.close()
})
reportReady({ port: server.port })
