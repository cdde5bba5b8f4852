/**
 * The warehouse as it is often written: a failed call is tried again a few times with a growing pause, then there is a line in a log and the
 * message is acknowledged, or the queue would never go on. `--port` is that of the logistics company.
 */

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { BrokerClient } from '../../shop/broker/client.ts'
import type { Delivery } from '../../shop/broker/protocol.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { orderPaid, type OrderPaidBody } from '../../shop/shared/order-paid.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createEffectsTable, insertEffect, openDatabase } from '../../shop/shared/tables.ts'
import { ship } from './carrier.ts'

const { folder, group, incarnation, brokerUrl, port: logisticsPort } = serviceArguments()
const logistics = `http://127.0.0.1:${logisticsPort}`
const callsMax = 5
const firstPauseMs = 50

const database = openDatabase(join(folder, `${group}.db`))
createEffectsTable(database)
const broker = new BrokerClient(brokerUrl)

async function handle({ deliveryId, message }: Delivery): Promise<void> {
  const { orderId, userId, publishedAtMs } = message.body as OrderPaidBody
  try {
    await shipWithRetries(orderId, userId)
    insertEffect(database, { orderId, group, messageId: message.id, incarnation, publishedAtMs })
  } catch (error) {
    console.error(`order ${orderId} is given up:`, error)
  }
  await broker.acknowledge(group, [deliveryId])
}

async function shipWithRetries(orderId: string, customer: string): Promise<void> {
  for (let call = 1; ; call += 1) {
    try {
      return await ship(logistics, { orderId, customer, idempotencyKey: randomUUID() })
    } catch (error) {
      if (call === callsMax) throw error
      await pause(firstPauseMs * 2 ** (call - 1))
    }
  }
}

let isStopping = false

async function work(): Promise<void> {
  while (!isStopping) {
    const deliveries = await broker.receive({ group, topics: [orderPaid], max: 8, waitMs: 200 })
    await Promise.all(deliveries.map(handle))
  }
}

const working = work()
stopWhenAsked(async () => {
  isStopping = true
  await working
  database.close()
})
reportReady()
