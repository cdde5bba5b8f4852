/**
 * The warehouse with Waybill. The logistics company is declared as a dependency: what fails because of it is charged to it, the group waits
 * until its probe succeeds, and each customer's orders stay in order. `--port` is that of the logistics company.
 */

import { join } from 'node:path'
import { dependency, topic, Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../shop/broker/transport.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { orderPaid, type OrderPaidBody } from '../../shop/shared/order-paid.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createEffectsTable, insertEffect } from '../../shop/shared/tables.ts'
import { askHealth, LogisticsDown, ship } from './carrier.ts'
import { callsPerSecond } from './rate.ts'

const { folder, group, incarnation, brokerUrl, port: logisticsPort } = serviceArguments()
const url = `http://127.0.0.1:${logisticsPort}`
const OrderPaid = topic<OrderPaidBody>(orderPaid)

const waybill = new Waybill({
  service: group,
  database: sqlite(join(folder, `${group}.db`)),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2_000,
})
await waybill.transaction((tx) => createEffectsTable(tx))

const logistics = dependency('logistics', {
  probe: (signal) => askHealth(url, signal),
  every: '200ms',
  matches: (error) => error instanceof LogisticsDown,
  perSecond: callsPerSecond,
})
const options = { group, order: 'sharding-key', dependencies: [logistics] } as const

waybill.consume(OrderPaid, options, async ({ id, body }, { tx, idempotencyKey }) => {
  const { orderId, userId, publishedAtMs } = body
  await ship(url, { orderId, customer: userId, idempotencyKey })
  insertEffect(tx, { orderId, group, messageId: id, incarnation, publishedAtMs })
})

await waybill.start()
stopWhenAsked(() => waybill.stop())
reportReady()
