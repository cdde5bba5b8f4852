/** The warehouse needs the address and looks the order up; what it does not find, it leaves. The coupon service takes the event's word for it. */

import { join } from 'node:path'
import { BrokerClient } from '../../shop/broker/client.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { orderPaid, type OrderPaidBody } from '../../shop/shared/order-paid.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createEffectsTable, insertEffect, openDatabase } from '../../shop/shared/tables.ts'
import { createVainLookUps, noteVainLookUp, orderLookUp } from './look-up.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()
const database = openDatabase(join(folder, `${group}.db`))
createEffectsTable(database)
createVainLookUps(database)
const broker = new BrokerClient(brokerUrl)
const isThere = group === 'warehouse' ? orderLookUp(folder) : () => true
let isStopping = false

async function work(): Promise<void> {
  while (!isStopping) {
    const deliveries = await broker.receive({ group, topics: [orderPaid], max: 1, waitMs: 200 })
    for (const { deliveryId, message } of deliveries) {
      const { orderId, publishedAtMs } = message.body as OrderPaidBody
      if (isThere(orderId))
        insertEffect(database, { orderId, group, messageId: message.id, incarnation, publishedAtMs })
      else noteVainLookUp(database, orderId)
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
