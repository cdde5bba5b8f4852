/** A consumer that acknowledges each message after its work, for the tests of the harness. */

import { join } from 'node:path'
import { BrokerClient } from '../../shop/broker/client.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { orderPaid, type OrderPaidBody } from '../../shop/shared/order-paid.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createEffectsTable, insertEffect, openDatabase } from '../../shop/shared/tables.ts'
import { mayDieAt } from './die-at.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()
const database = openDatabase(join(folder, `${group}.db`))
createEffectsTable(database)
const broker = new BrokerClient(brokerUrl)
let isStopping = false

async function work(): Promise<void> {
  while (!isStopping) {
    const deliveries = await broker.receive({ group, topics: [orderPaid], max: 1, waitMs: 200 })
    for (const { deliveryId, message } of deliveries) {
      const { orderId, publishedAtMs } = message.body as OrderPaidBody
      insertEffect(database, { orderId, group, messageId: message.id, incarnation, publishedAtMs })
      mayDieAt('worked, not acknowledged')
      await broker.acknowledge(group, [deliveryId])
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
