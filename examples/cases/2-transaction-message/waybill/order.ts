/**
 * The order service with half messages. Its orders are in another database than Waybill's, so no transaction holds both together: the half
 * message is written first, then the order, then the decision; and whatever is interrupted is checked back, by this instance or another.
 */

import { join } from 'node:path'
import { type Half, Waybill, isWaybillError } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../../shop/broker/transport.ts'
import { serviceArguments } from '../../../shop/shared/arguments.ts'
import { serveJson } from '../../../shop/shared/http.ts'
import type { OrderPaidBody } from '../../../shop/shared/order-paid.ts'
import { parsePaymentCallback, type PaymentCallback } from '../../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../../shop/shared/process.ts'
import { createOrdersTable, insertOrder } from '../../../shop/shared/tables.ts'
import { mayDieAt } from '../../harness/die-at.ts'
import { OrderDatabase } from '../order-database.ts'
import { OrderConfirmed, OrderPaid } from './topics.ts'

const { folder, brokerUrl } = serviceArguments()
/** How long a local transaction may take. While it may still be under way, an order that is not there proves nothing. */
const localTimeoutMs = 2000

const orders = new OrderDatabase(folder)
const waybill = new Waybill({
  service: 'order',
  database: sqlite(join(folder, 'order.db')),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2000,
  ports: { reached: mayDieAt },
})
await waybill.transaction((tx) => createOrdersTable(tx))

function write({ body }: Half<OrderPaidBody>): 'commit' {
  // An order that is there already stays as it is: whoever comes second, the local transaction or a check, changes nothing.
  orders.insert({ ...body, rollback: false, notification: 1 })
  return 'commit'
}

async function order(callback: PaymentCallback): Promise<object> {
  const { orderId } = callback
  const message = { key: orderId, dedupKey: orderId, body: bodyOf(callback) }
  const { decision } = await waybill.publishHalf(OrderPaid, message, async (half) => {
    try {
      return write(half)
    } catch (error) {
      // The database is down, or did not say whether it has committed. The half message has the order: a check goes on with it.
      console.error(error)
      return 'unknown'
    }
  })
  return { answer: decision === 'commit' ? 'paid' : 'taken' }
}

waybill.onCheckBack(OrderPaid, async (half) => {
  if (orders.has(half.body.orderId)) return 'commit'
  const isUnderWay = Date.now() - half.publishedAt.getTime() < localTimeoutMs
  return isUnderWay ? 'unknown' : write(half)
})

/** Pay or expire. These orders are in Waybill's database, so that payment and decision commit together. */
async function orderUnpaid(callback: PaymentCallback): Promise<object> {
  const { orderId } = callback
  const message = { key: orderId, dedupKey: orderId, body: bodyOf(callback) }
  await waybill.publishHalf(OrderConfirmed, message, async () => 'unknown')
  return { answer: 'waits for the payment' }
}

async function pay(callback: PaymentCallback): Promise<object> {
  const [half] = await waybill.halves.list({ key: callback.orderId })
  if (half === undefined) return { answer: 'expired' }
  try {
    await waybill.transaction((tx) => {
      insertOrder(tx, callback)
      waybill.decide(tx, half.id, 'commit')
    })
    return { answer: 'paid' }
  } catch (error) {
    if (isWaybillError(error, 'half.already-decided')) return { answer: 'expired' }
    throw error
  }
}

// Asked only while nobody has decided, and the payment decides as it commits: so it has not come.
waybill.onCheckBack(OrderConfirmed, async () => 'unknown')

function bodyOf({ orderId, userId, amount }: PaymentCallback): OrderPaidBody {
  return { orderId, userId, amount, publishedAtMs: Date.now() }
}

await waybill.start()
const server = await serveJson(0, {
  'POST /orders': (body) => order(parsePaymentCallback(body)),
  'POST /orders/unpaid': (body) => orderUnpaid(parsePaymentCallback(body)),
  'POST /orders/payment': (body) => pay(parsePaymentCallback(body)),
})
stopWhenAsked(async () => {
  await server.close()
  await waybill.stop()
})
reportReady({ port: server.port })
