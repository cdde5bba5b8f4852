/**
 * A consumer with Waybill: the effect is written in the transaction of its receipt. Killed before the commit, neither
 * is there and the message comes again; killed after it, both are, and a repeated message finds the receipt.
 */

import { join } from 'node:path'
import { retry, Waybill } from 'waybill'
import { databaseTransport } from 'waybill/database'
import { sqlite } from 'waybill/sqlite'
import { serviceArguments } from '../shared/arguments.ts'
import { reportReady, stopWhenAsked } from '../shared/process.ts'
import { createEffectsTable, insertEffect } from '../shared/tables.ts'
import { callProvider, ProviderFailed, providerRetryMs } from '../shared/third-parties.ts'
import { OrderPaid } from './topics.ts'

const { folder, group, incarnation } = serviceArguments()

const waybill = new Waybill({
  service: group,
  database: sqlite(join(folder, `${group}.db`)),
  transport: databaseTransport({ database: sqlite(join(folder, 'broker.db')) }),
  leaseMs: 2000,
})
await waybill.transaction((tx) => createEffectsTable(tx))

waybill.consume(OrderPaid, { group }, async (message, { tx, attempt }) => {
  const { orderId, publishedAtMs } = message.body
  try {
    await callProvider(group, orderId, attempt)
  } catch (error) {
    if (error instanceof ProviderFailed) return retry({ in: `${providerRetryMs}ms`, because: error.message })
    throw error
  }
  insertEffect(tx, { orderId, group, messageId: message.id, incarnation, publishedAtMs })
  return undefined
})

await waybill.start()
stopWhenAsked(() => waybill.stop())
reportReady()
