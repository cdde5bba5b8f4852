/**
 * The order service with Waybill. The event is published in the transaction that writes the order: both are there, or
 * neither. A repeated callback finds the order and publishes nothing.
 */

import { Waybill } from 'waybill'
import { databaseTransport } from 'waybill/database'
import { serviceArguments } from '../shared/arguments.ts'
import { brokerConnectionsMax, openShopDatabase } from '../shared/database.ts'
import { serveJson } from '../shared/http.ts'
import {
  AccountFrozen,
  parsePaymentCallback,
  type PaymentAnswer,
  type PaymentCallback,
} from '../shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../shared/process.ts'
import { orderRow, ordersTable } from '../shared/tables.ts'
import { bookPayment } from '../shared/third-parties.ts'
import { OrderPaid } from './topics.ts'

const { port, databaseUrl } = serviceArguments()
const database = await openShopDatabase(databaseUrl('order'))
const broker = await openShopDatabase(databaseUrl('broker'), brokerConnectionsMax)
await database.createTable(ordersTable)

const waybill = new Waybill({
  service: 'order',
  database: database.handle,
  transport: databaseTransport({ database: broker.handle }),
  migrate: 'auto',
  leaseMs: 2000,
})

async function paid(callback: PaymentCallback): Promise<PaymentAnswer> {
  await bookPayment(callback.orderId, callback.notification)
  return saveOrder(callback)
}

async function saveOrder(callback: PaymentCallback): Promise<PaymentAnswer> {
  const { orderId, userId, amount } = callback
  try {
    await waybill.transaction(async (tx) => {
      const isNew = (await database.insertNew(tx, orderRow(callback))) === 1
      if (!isNew) return
      await waybill.publish(tx, OrderPaid, {
        key: orderId,
        shardingKey: userId,
        dedupKey: orderId,
        body: { orderId, userId, amount, publishedAtMs: Date.now() },
      })
      if (callback.rollback) throw new AccountFrozen(`the account of ${userId} is frozen`)
    })
    return { answer: 'paid' }
  } catch (error) {
    if (error instanceof AccountFrozen) return { answer: 'declined' }
    throw error
  }
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
