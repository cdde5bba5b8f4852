/**
 * The order service without transaction messages, in the two ways that are left: commit and then publish, or publish and then commit.
 * Either is right as long as nothing happens between the two.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerClient } from '../../../shop/broker/client.ts'
import { serviceArguments } from '../../../shop/shared/arguments.ts'
import { serveJson } from '../../../shop/shared/http.ts'
import { orderPaid } from '../../../shop/shared/order-paid.ts'
import { parsePaymentCallback, type PaymentCallback } from '../../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../../shop/shared/process.ts'
import { mayDieAt } from '../../harness/die-at.ts'
import { OrderDatabase } from '../order-database.ts'

const { folder, brokerUrl } = serviceArguments()
const publishTries = 3
const retryAfterMs = 50

const orders = new OrderDatabase(folder)
const broker = new BrokerClient(brokerUrl)

/** Can lose: the order is committed, and the broker may never hear of it. */
async function commitThenPublish(callback: PaymentCallback): Promise<object> {
  orders.insert(callback)
  mayDieAt('committed, not published')
  // Whatever comes of it: the order is committed, and the customer has waited long enough.
  await publish(callback).catch((error) => console.error(error))
  return { answer: 'paid' }
}

/** Can make a phantom: the broker has heard of an order that is never committed. */
async function publishThenCommit(callback: PaymentCallback): Promise<object> {
  await publish(callback)
  orders.insert(callback)
  return { answer: 'paid' }
}

/** The same, in two calls: the event is sent when the customer goes to the bank, from where nearly everybody comes back. */
async function publishBeforePayment(callback: PaymentCallback): Promise<object> {
  await publish(callback)
  return { answer: 'waits for the payment' }
}

function commitPaid(callback: PaymentCallback): object {
  orders.insert(callback)
  return { answer: 'paid' }
}

async function publish({ orderId, userId, amount }: PaymentCallback): Promise<void> {
  const body = { orderId, userId, amount, publishedAtMs: Date.now() }
  for (let attempt = 1; ; attempt += 1) {
    try {
      await broker.publish([{ topic: orderPaid, key: orderId, body }])
      return
    } catch (error) {
      if (attempt === publishTries) throw error
      await sleep(retryAfterMs * attempt)
    }
  }
}

const server = await serveJson(0, {
  'POST /orders/commit-then-publish': (body) => commitThenPublish(parsePaymentCallback(body)),
  'POST /orders/publish-then-commit': (body) => publishThenCommit(parsePaymentCallback(body)),
  'POST /orders/unpaid': (body) => publishBeforePayment(parsePaymentCallback(body)),
  'POST /orders/payment': (body) => commitPaid(parsePaymentCallback(body)),
})
stopWhenAsked(() => server.close())
reportReady({ port: server.port })
