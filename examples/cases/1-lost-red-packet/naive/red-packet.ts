/** A consumer as it is often written: it acknowledges what it has received ("auto commit"), and then works on it. */

import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { BrokerClient } from '../../../shop/broker/client.ts'
import { serviceArguments } from '../../../shop/shared/arguments.ts'
import { orderPaid, type OrderPaidBody } from '../../../shop/shared/order-paid.ts'
import { reportReady, stopWhenAsked } from '../../../shop/shared/process.ts'
import { createEffectsTable, insertEffect, openDatabase } from '../../../shop/shared/tables.ts'
import { mayDieAt } from '../../harness/die-at.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()
const batchSize = 8
const retryAfterMs = 100

const database = openDatabase(join(folder, `${group}.db`))
createEffectsTable(database)
const broker = new BrokerClient(brokerUrl)

async function takeBatch(): Promise<void> {
  const deliveries = await broker.receive({ group, topics: [orderPaid], max: batchSize, waitMs: 1000 })
  const deliveryIds = deliveries.map(({ deliveryId }) => deliveryId)
  if (deliveries.length > 0) await broker.acknowledge(group, deliveryIds)
  for (const { message } of deliveries) {
    const { orderId, publishedAtMs } = message.body as OrderPaidBody
    mayDieAt('acknowledged, not worked')
    insertEffect(database, { orderId, group, messageId: message.id, incarnation, publishedAtMs })
  }
}

let isStopping = false

async function work(): Promise<void> {
  while (!isStopping) {
    try {
      await takeBatch()
    } catch (error) {
      console.error(error)
      await sleep(retryAfterMs)
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
