/** Issues a red packet for each order, whichever way it came to be paid. */

import { join } from 'node:path'
import { Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../../shop/broker/transport.ts'
import { serviceArguments } from '../../../shop/shared/arguments.ts'
import { reportReady, stopWhenAsked } from '../../../shop/shared/process.ts'
import { createEffectsTable, insertEffect } from '../../../shop/shared/tables.ts'
import { OrderConfirmed, OrderPaid } from './topics.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()

const waybill = new Waybill({
  service: group,
  database: sqlite(join(folder, `${group}.db`)),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2000,
})
await waybill.transaction((tx) => createEffectsTable(tx))

for (const topic of [OrderPaid, OrderConfirmed]) {
  waybill.consume(topic, { group, from: 'oldest' }, ({ id, body }, { tx }) => {
    const { orderId, publishedAtMs } = body
    insertEffect(tx, { orderId, group, messageId: id, incarnation, publishedAtMs })
  })
}

await waybill.start()
stopWhenAsked(() => waybill.stop())
reportReady()
