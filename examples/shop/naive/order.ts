/**
 * The order service as it is often written. It publishes first, "so that the event cannot be forgotten", and then
 * commits; and it answers every callback the same way, although the payment system repeats those that it timed out.
 */

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerClient } from '../broker/client.ts'
import type { NewMessage } from '../broker/protocol.ts'
import { serviceArguments } from '../shared/arguments.ts'
import { serveJson } from '../shared/http.ts'
import { orderPaid, type OrderPaidBody } from '../shared/order-paid.ts'
import {
  AccountFrozen,
  parsePaymentCallback,
  type PaymentAnswer,
  type PaymentCallback,
} from '../shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../shared/process.ts'
import { createOrdersTable, insertOrder, openDatabase } from '../shared/tables.ts'
import { bookPayment } from '../shared/third-parties.ts'

const { folder, port, brokerUrl } = serviceArguments()
const publishTries = 3

const database = openDatabase(join(folder, 'order.db'))
createOrdersTable(database)
const broker = new BrokerClient(brokerUrl)

async function paid(callback: PaymentCallback): Promise<PaymentAnswer> {
  const { orderId, userId, amount } = callback
  const body: OrderPaidBody = { orderId, userId, amount, publishedAtMs: Date.now() }
  await publish({ topic: orderPaid, key: orderId, body })
  await bookPayment(orderId, callback.notification)
  return saveOrder(callback)
}

/** Tries again by itself: the broker may have stored what it did not answer for. */
async function publish(message: NewMessage): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await broker.publish([message])
      return
    } catch (error) {
      if (attempt === publishTries) throw error
      await sleep(50 * attempt)
    }
  }
}

function saveOrder(callback: PaymentCallback): PaymentAnswer {
  database.exec('begin immediate')
  try {
    insertOrder(database, callback)
    if (callback.rollback) throw new AccountFrozen(`the account of ${callback.userId} is frozen`)
    database.exec('commit')
    return { answer: 'paid' }
  } catch (error) {
    database.exec('rollback')
    if (error instanceof AccountFrozen) return { answer: 'declined' }
    throw error
  }
}

const server = await serveJson(port, {
  'POST /payments/callback': (body) => paid(parsePaymentCallback(body)),
})
stopWhenAsked(async () => {
  await server.close()
  database.close()
})
reportReady({ port: server.port })
