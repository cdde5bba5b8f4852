import type { HeldQueue, QueueReader } from '../../core/log-reading.ts'
import { withMore } from '../../core/message.ts'
import type { Ports } from '../../core/ports.ts'
import { type Resumed, resume } from '../../core/resuming.ts'
import type { QueueName, Store, TopicDeclaration } from '../../core/store.ts'
import type { IncomingBatch, Subscription } from '../../core/transport.ts'
import { WindowSize } from '../../core/window-size.ts'

const windowMax = 500
/** How often a reader that has nothing to read looks whether all that it landed is still there. */
const lookAgainMs = 5_000

export interface LandingReaderParts {
  readonly name: string
  readonly store: Store<never>
  readonly topic: TopicDeclaration
  readonly subscription: Subscription
  readonly land: (batch: IncomingBatch) => Promise<void>
  readonly ports: Ports
}

/**
 * Reads one topic of the broker database's log for one service. Its cursor there advances only after the batch has landed (P13), and
 * no batch lands where what comes before it has not: a database that was put back to an older state gets again what it lost, and
 * what it still has is suppressed by its id.
 */
export class LandingReader implements QueueReader {
  readonly reader: string
  readonly version = 0
  readonly runningMax = windowMax
  readonly #parts: LandingReaderParts

  constructor(parts: LandingReaderParts) {
    this.#parts = parts
    this.reader = parts.name
  }

  async queues(): Promise<readonly QueueName[]> {
    const { name, queues } = this.#parts.topic
    return Array.from({ length: queues }, (_, queue) => ({ topic: name, queue }))
  }

  async serve(held: HeldQueue): Promise<void> {
    const { store, ports } = this.#parts
    const source = `database:${await store.epoch()}`
    let from = await this.#resume(held, source)
    let lookedAt = ports.clock.monotonic()
    const size = new WindowSize(windowMax)
    for (; !held.draining.aborted; await held.breathe()) {
      const mark = held.mark()
      if (await this.#landWindow(held, source, from, size)) {
        from = { ...from, isRecorded: true }
        continue
      }
      if (ports.clock.monotonic() - lookedAt >= lookAgainMs) {
        from = await this.#resume(held, source)
        lookedAt = ports.clock.monotonic()
      } else await held.idle(mark)
    }
  }

  /** Answers whether there was anything. */
  async #landWindow(
    held: HeldQueue,
    source: string,
    { epoch, isRecorded }: Resumed,
    size: WindowSize,
  ): Promise<boolean> {
    const { store, land } = this.#parts
    const { topic, queue } = held.lease
    const window = await store.read(held.lease, held.position, size.limit)
    size.saw(window)
    const end = window.at(-1)?.position
    if (end === undefined) return false
    const messages = window.map((message) =>
      withMore(message, { from: { source, queue, position: message.position } }),
    )
    const upTo = { source, topic, queue, position: end, epoch }
    await land({ messages, upTo: [isRecorded ? { ...upTo, after: held.position } : upTo] })
    // It has landed, whether the cursor hears of it or not.
    held.position = end
    await store.advance(held.lease, end)
    return true
  }

  async #resume(held: HeldQueue, source: string): Promise<Resumed> {
    const { store, subscription, land, ports } = this.#parts
    const { topic, queue } = held.lease
    const landed = {
      recorded: () => subscription.landedUpTo(source, topic, queue),
      record: (position: number, epoch: string) =>
        land({ messages: [], upTo: [{ source, topic, queue, position, epoch }] }),
    }
    const resumed = await resume(store, held.lease, held.position, landed, (because) =>
      ports.log.error({ source, topic, queue }, because),
    )
    held.position = resumed.position
    return resumed
  }
}
