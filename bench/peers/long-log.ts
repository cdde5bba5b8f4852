import { freshDatabase } from '../../scripts/services/index.ts'
import type { Run } from '../harness/bench.ts'
import { assertFreeDisk } from '../harness/free-disk.ts'
import type { Order } from '../sqlite/messages.ts'
import { drain } from './contest.ts'
import { orderId } from './orders.ts'
import { consumingDefault, orderPaid } from './playing.ts'
import { execute, server } from './server.ts'
import { bulkPublishers } from './sizes.ts'
import { type PgWaybill, close, newPool, newWaybill, openConsumer, waybillRelay } from './waybill.ts'

/** Large ones, only to get there sooner. */
const publishedAtOnce = 5_000
const handledAtOnce = 1_000

/** What a small message takes up with its indexes and its receipt; and one of the backlog, of 1 KiB. */
const historyBytes = 1_500
const backlogBytes = 3_000

/**
 * A log of which everything is history: published, relayed and handled, in the ordinary way, so that all tables hold what that
 * leaves behind. Only the bodies are small.
 */
export async function newLongLog(run: Run, messages: number, backlog: number): Promise<string> {
  const { url: serverUrl, dataFolder } = await server(run)
  assertFreeDisk(dataFolder, messages * historyBytes + backlog * backlogBytes)
  const { url } = await freshDatabase('postgres', serverUrl)
  const pool = newPool(url)
  const publisher = newWaybill(pool)
  await publisher.schema()
  run.progress.begin(`history: publishing ${messages}`, Math.ceil(messages / publishedAtOnce))
  await publishSmall(publisher, messages, () => run.progress.step())
  await close(publisher, pool)
  run.progress.begin('history: relaying and handling', 2)
  for (const reader of [
    await waybillRelay.open(url, 'drain'),
    await openConsumer(url, 'drain', { ...consumingDefault, batch: handledAtOnce }),
  ]) {
    await drain(reader, messages)
    await reader.close()
    run.progress.step()
  }
  // As autovacuum would after a while.
  await execute(url, 'vacuum analyze')
  return url
}

async function publishSmall(publisher: PgWaybill, messages: number, published: () => void): Promise<void> {
  let next = 0
  const publish = async (): Promise<void> => {
    while (next < messages) {
      const from = next
      next = Math.min(messages, from + publishedAtOnce)
      const batch = Array.from({ length: next - from }, (_, i) => small(from + i))
      await publisher.transaction((tx) => publisher.publish(tx, orderPaid, batch))
      published()
    }
  }
  await Promise.all(Array.from({ length: bulkPublishers }, publish))
}

function small(number: number): { key: string; shardingKey: string; body: Order } {
  const id = orderId(number)
  const userId = `user-${number % 10_000}`
  return { key: id, shardingKey: userId, body: { id, userId, amount: number % 900, items: [], note: '' } }
}
