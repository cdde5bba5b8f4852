import { setTimeout as wait } from 'node:timers/promises'
import type { OpenDatabase } from '../../src/core/database.ts'
import type { OwnerId } from '../../src/core/ids.ts'
import { type Tally, read } from './tally.ts'

export const proven = { name: 'proof.order', queues: 4 }
const group = 'proof'
const limit = 37
const leaseMs = 60_000
const readsPerReader = 40
/** So many looks in vain after the last message that was found, however long they take. */
const settledAfterLooks = 1_000

export async function declare({ store }: OpenDatabase<never>): Promise<void> {
  await store.declareGroup({
    name: group,
    topics: [proven],
    tags: {},
    from: 'oldest',
    subscriptionVersion: 1,
    ordered: false,
    onFailure: 'hold',
  })
}

/** Reads all queues as a consumer group does, and hands over to a new owner every few hundred reads. */
export async function readAll(
  database: OpenDatabase<never>,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const { store } = database
  const queues = Array.from({ length: proven.queues }, (_, queue) => ({ topic: proven.name, queue }))
  const membership = { reader: group, version: 1, queues, runningMax: 1 }
  while (!signal.aborted) {
    const owner = `reader-${tally.readers++}` as OwnerId
    const [share] = await store.share(owner, [membership], leaseMs)
    const positions = new Map(share!.leases.map((lease) => [lease, lease.position]))
    for (let reads = 0; reads < readsPerReader && !signal.aborted; reads++) {
      let found = 0
      for (const [lease, position] of positions) {
        const messages = await store.read(lease, position, limit)
        tally.looked()
        if (messages.length === 0) continue
        found += messages.length
        await store.advance(lease, messages.at(-1)!.position)
        positions.set(lease, messages.at(-1)!.position)
        for (const { id, shardingKey, body } of messages)
          read(tally, id, shardingKey!, (JSON.parse(body as string) as { n: number }).n)
      }
      if (found === 0) await wait(2)
    }
    await store.leave(owner)
    await store.release(share!.leases)
  }
}

/** Everything is read, or nothing more comes. */
export async function settled(tally: Tally): Promise<void> {
  let seen = -1
  let since = 0
  while (tally.readTimes.size < tally.committed.size) {
    if (tally.seen !== seen) {
      seen = tally.seen
      since = tally.looks
    } else if (tally.looks - since > settledAfterLooks) return
    await wait(10)
  }
}
