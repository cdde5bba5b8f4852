/** The same consumers with Waybill. They look the order up in the same way, and would leave what they do not find as the naive ones do. */

import { join } from 'node:path'
import { Waybill } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { exampleBroker } from '../../shop/broker/transport.ts'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { createEffectsTable, insertEffect } from '../../shop/shared/tables.ts'
import { OrderPaid } from './cures.ts'
import { createVainLookUps, noteVainLookUp, orderLookUp } from './look-up.ts'

const { folder, group, incarnation, brokerUrl } = serviceArguments()

const waybill = new Waybill({
  service: group,
  database: sqlite(join(folder, `${group}.db`)),
  transport: exampleBroker({ url: brokerUrl }),
  leaseMs: 2_000,
})
await waybill.transaction((tx) => {
  createEffectsTable(tx)
  createVainLookUps(tx)
})
const isThere = group === 'warehouse' ? orderLookUp(folder) : () => true

waybill.consume(OrderPaid, { group }, ({ id, body }, { tx }) => {
  const { orderId, publishedAtMs } = body
  if (isThere(orderId)) insertEffect(tx, { orderId, group, messageId: id, incarnation, publishedAtMs })
  else noteVainLookUp(tx, orderId)
})

await waybill.start()
stopWhenAsked(() => waybill.stop())
reportReady()
