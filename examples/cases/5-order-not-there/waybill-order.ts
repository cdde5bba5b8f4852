/** The order service with Waybill, in two instances on one database. Which of the cures is used, each order says. */

import { join } from 'node:path'
import { Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../shop/broker/transport.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { serveJson } from '../../shop/shared/http.ts'
import { AccountFrozen, type PaymentAnswer } from '../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createOrdersTable } from '../../shop/shared/tables.ts'
import { cures, OrderPaid } from './cures.ts'
import type { OrderRequest } from './order-request.ts'

const { folder, port, brokerUrl } = serviceArguments()

const waybill = new Waybill({
  service: 'order',
  database: sqlite(join(folder, 'order.db')),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2_000,
})
await waybill.transaction((tx) => createOrdersTable(tx))

// Asked only while nobody has decided: the transaction has not committed, and if it still tries to, its own decision makes it fail.
waybill.onCheckBack(OrderPaid, async () => 'rollback')

async function place(order: OrderRequest): Promise<PaymentAnswer> {
  try {
    await cures[order.cure](waybill, order)
    return { answer: 'paid' }
  } catch (error) {
    if (error instanceof AccountFrozen) return { answer: 'declined' }
    throw error
  }
}

await waybill.start()
const server = await serveJson(port, { 'POST /orders': (body) => place(body as OrderRequest) })
stopWhenAsked(async () => {
  await server.close()
  await waybill.stop()
})
reportReady({ port: server.port, pid: process.pid })
