/**
 * A consumer with Waybill: the effect is written in the transaction of its receipt. Killed before the commit, neither
 * is there and the message comes again; killed after it, both are, and a repeated message finds the receipt.
 */

import { retry, Waybill } from 'waybill'
import { databaseTransport } from 'waybill/database'
import { serviceArguments } from '../shared/arguments.ts'
import { brokerConnectionsMax, openShopDatabase } from '../shared/database.ts'
import { reportReady, stopWhenAsked } from '../shared/process.ts'
import { effectRow, effectsTable } from '../shared/tables.ts'
import { callProvider, ProviderFailed, providerRetryMs } from '../shared/third-parties.ts'
import { OrderPaid } from './topics.ts'

const { group, incarnation, databaseUrl } = serviceArguments()
const database = await openShopDatabase(databaseUrl(group))
const broker = await openShopDatabase(databaseUrl('broker'), brokerConnectionsMax)
await database.createTable(effectsTable)

const waybill = new Waybill({
  service: group,
  database: database.handle,
  transport: databaseTransport({ database: broker.handle }),
  migrate: 'auto',
  leaseMs: 2000,
})

waybill.consume(OrderPaid, { group }, async (message, { tx, attempt }) => {
  const { orderId, publishedAtMs } = message.body
  try {
    await callProvider(group, orderId, attempt)
  } catch (error) {
    if (error instanceof ProviderFailed) return retry({ in: `${providerRetryMs}ms`, because: error.message })
    throw error
  }
  await database.run(tx, effectRow({ orderId, group, messageId: message.id, incarnation, publishedAtMs }))
  return undefined
})

await waybill.start()
stopWhenAsked(() => waybill.stop())
reportReady()
