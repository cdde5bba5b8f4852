/**
 * The order service as it is often written: the event is sent to the broker inside the transaction, so that "either both happen or neither". The
 * broker knows nothing of the transaction: it has the event before the commit, and after a rollback.
 */

import { join } from 'node:path'
import { BrokerClient } from '../../shop/broker/client.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { serveJson } from '../../shop/shared/http.ts'
import { orderPaid } from '../../shop/shared/order-paid.ts'
import { AccountFrozen, type PaymentAnswer } from '../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createOrdersTable, insertOrder, openDatabase } from '../../shop/shared/tables.ts'
import { meetFate } from './fate.ts'
import type { OrderRequest } from './order-request.ts'

const { folder, port, brokerUrl } = serviceArguments()
const database = openDatabase(join(folder, 'order.db'))
createOrdersTable(database)
const broker = new BrokerClient(brokerUrl)

async function place(order: OrderRequest): Promise<PaymentAnswer> {
  const { orderId, userId, amount } = order
  database.exec('begin immediate')
  try {
    insertOrder(database, order)
    const body = { orderId, userId, amount, publishedAtMs: Date.now() }
    await broker.publish([{ topic: orderPaid, key: orderId, body }])
    meetFate(order)
    database.exec('commit')
    return { answer: 'paid' }
  } catch (error) {
    database.exec('rollback')
    if (error instanceof AccountFrozen) return { answer: 'declined' }
    throw error
  }
}

const server = await serveJson(port, { 'POST /orders': (body) => place(body as OrderRequest) })
stopWhenAsked(async () => {
  await server.close()
  database.close()
})
reportReady({ port: server.port, pid: process.pid })
