import type { Duration } from 'waybill'
import type { Run } from '../harness/bench.ts'
import { assertFreeDisk } from '../harness/free-disk.ts'
import type { Paths } from '../harness/waiting.ts'
import { newWaybill, orderPaid, orders, userHandle } from '../sqlite/messages.ts'
import { delaySizes } from './sizes.ts'

/** What a delayed message of 1 KiB takes up in the file, with its indexes. */
const bytesPerMessage = 2_500
const perTransaction = 500

/** Two files without messages and one with a million that are due in a year. */
export function waitingMessages(run: Run): Promise<Paths> {
  return run.shared('waiting-messages', async () => {
    const { waiting, bodyBytes } = delaySizes(run)
    const paths = {
      empty: run.scratch('empty.db'),
      again: run.scratch('again.db'),
      waiting: run.scratch('waiting.db'),
    }
    assertFreeDisk(paths.waiting, waiting * bytesPerMessage)
    run.progress.begin(`delay: publishing ${waiting}`, waiting / perTransaction)
    const planted: Delayed = { messages: waiting, bodyBytes, delay: '365d', key: keyOf }
    await publishDelayed(paths.waiting, planted, () => run.progress.step())
    return paths
  })
}

export interface Delayed {
  readonly messages: number
  readonly bodyBytes: number
  readonly delay: Duration
  /** The business key of each. */
  key(number: number): string
}

/** Sorts as its number does. */
export function keyOf(number: number): string {
  return `order-${String(number).padStart(9, '0')}`
}

/** Publishes delayed messages, 500 in a transaction, and closes the file. Calls back after each transaction. */
export async function publishDelayed(
  path: string,
  { messages, bodyBytes, delay, key }: Delayed,
  published: () => void = () => {},
): Promise<void> {
  const waybill = newWaybill(path)
  const database = userHandle(path)
  const bodies = orders(bodyBytes)
  for (let done = 0; done < messages; done += perTransaction) {
    const count = Math.min(perTransaction, messages - done)
    const batch = Array.from({ length: count }, (_, i) => {
      const body = bodies[i % bodies.length]!
      return { body, key: key(done + i), shardingKey: `user-${(done + i) % 10_000}`, delay }
    })
    database.exec('begin immediate')
    waybill.publish(database, orderPaid, batch)
    database.exec('commit')
    published()
  }
  database.close()
  await waybill.stop()
}
