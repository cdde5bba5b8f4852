/**
 * A consumer as it is often written: it takes a batch, acknowledges it at once so that the broker does not deliver it
 * again while it is being worked on ("auto commit"), and retries failures in its own memory.
 */

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerClient } from '../broker/client.ts'
import type { Delivery, StoredMessage } from '../broker/protocol.ts'
import { serviceArguments } from '../shared/arguments.ts'
import { orderPaid, type OrderPaidBody } from '../shared/order-paid.ts'
import { reportReady, stopWhenAsked } from '../shared/process.ts'
import { createEffectsTable, insertEffect, openDatabase } from '../shared/tables.ts'
import { callProvider, providerRetryMs } from '../shared/third-parties.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()
/** As many at once as Waybill's consumers handle by default. */
const batchSize = 8
const attemptsMax = 10

const database = openDatabase(join(folder, `${group}.db`))
createEffectsTable(database)
const broker = new BrokerClient(brokerUrl)

async function handle(message: StoredMessage, attempt: number): Promise<void> {
  const { orderId, publishedAtMs } = message.body as OrderPaidBody
  try {
    await callProvider(group, orderId, attempt)
    insertEffect(database, { orderId, group, messageId: message.id, incarnation, publishedAtMs })
  } catch (error) {
    console.error(`order ${orderId}, attempt ${attempt}:`, error)
    if (attempt < attemptsMax) setTimeout(() => void handle(message, attempt + 1), providerRetryMs)
  }
}

async function nextBatch(): Promise<readonly Delivery[]> {
  const deliveries = await broker.receive({ group, topics: [orderPaid], max: batchSize, waitMs: 1000 })
  if (deliveries.length > 0) {
    await broker.acknowledge(
      group,
      deliveries.map(({ deliveryId }) => deliveryId),
    )
  }
  return deliveries
}

let isStopping = false

async function work(): Promise<void> {
  while (!isStopping) {
    try {
      const deliveries = await nextBatch()
      await Promise.all(deliveries.map(({ message }) => handle(message, 1)))
    } catch (error) {
      console.error(error)
      await sleep(100)
    }
  }
}

const working = work()
stopWhenAsked(async () => {
  isStopping = true
  await working
  database.close()
})
reportReady()
