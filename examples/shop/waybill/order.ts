/**
 * The order service with Waybill. The event is published in the transaction that writes the order: both are there, or
 * neither. A repeated callback finds the order and publishes nothing.
 */

import { join } from 'node:path'
import { Waybill } from 'waybill'
import { databaseTransport } from 'waybill/database'
import { sqlite } from 'waybill/sqlite'
import { serviceArguments } from '../shared/arguments.ts'
import { serveJson } from '../shared/http.ts'
import {
  AccountFrozen,
  parsePaymentCallback,
  type PaymentAnswer,
  type PaymentCallback,
} from '../shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../shared/process.ts'
import { createOrdersTable, insertOrder } from '../shared/tables.ts'
import { bookPayment } from '../shared/third-parties.ts'
import { OrderPaid } from './topics.ts'

const { folder, port } = serviceArguments()

const waybill = new Waybill({
  service: 'order',
  database: sqlite(join(folder, 'order.db')),
  transport: databaseTransport({ database: sqlite(join(folder, 'broker.db')) }),
  leaseMs: 2000,
})
await waybill.transaction((tx) => createOrdersTable(tx))

async function paid(callback: PaymentCallback): Promise<PaymentAnswer> {
  await bookPayment(callback.orderId, callback.notification)
  return saveOrder(callback)
}

async function saveOrder(callback: PaymentCallback): Promise<PaymentAnswer> {
  const { orderId, userId, amount } = callback
  try {
    await waybill.transaction((tx) => {
      if (!insertOrder(tx, callback)) return
      waybill.publish(tx, OrderPaid, {
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
