/** A consumer with Waybill: the message lands in its own database before the broker may forget it, and the effect commits with the receipt. */

import { join } from 'node:path'
import { Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../../shop/broker/transport.ts'
import { serviceArguments } from '../../../shop/shared/arguments.ts'
import { reportReady, stopWhenAsked } from '../../../shop/shared/process.ts'
import { createEffectsTable, insertEffect } from '../../../shop/shared/tables.ts'
import { OrderPaid } from '../../../shop/waybill/topics.ts'
import { mayDieAt } from '../../harness/die-at.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()

const waybill = new Waybill({
  service: group,
  database: sqlite(join(folder, `${group}.db`)),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2000,
  ports: { reached: mayDieAt },
})
await waybill.transaction((tx) => createEffectsTable(tx))

waybill.consume(OrderPaid, { group, from: 'oldest' }, ({ id, body }, { tx }) => {
  const { orderId, publishedAtMs } = body
  insertEffect(tx, { orderId, group, messageId: id, incarnation, publishedAtMs })
})

await waybill.start()
stopWhenAsked(() => waybill.stop())
reportReady()
