import { reasonOf } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import { type Store, receiptMarginMs } from '../core/store.ts'

const everyMs = 3_600_000

/**
 * Drops, every hour, what is older than the retention and passed by every reader. Answers how to stop. Messages stay as long as receipts
 * must, so that both go at once: where receipts are ranges, each message that goes before would leave a row of its own.
 */
export function startUpkeep(store: Store<never>, ports: Ports, retentionMs: number): () => void {
  let stopped = false
  let cancel = (): void => {}
  const run = async (): Promise<void> => {
    try {
      for (let dropped = 1; !stopped && dropped > 0;) {
        const before = ports.clock.now() - retentionMs - receiptMarginMs
        dropped = await store.purge(before, before)
      }
    } catch (error) {
      ports.log.warn(
        { err: error },
        `dropping old messages failed and is tried again in an hour: ${reasonOf(error)}`,
      )
    }
    if (!stopped) cancel = ports.clock.after(everyMs, () => void run())
  }
  cancel = ports.clock.after(everyMs, () => void run())
  return () => {
    stopped = true
    cancel()
  }
}
