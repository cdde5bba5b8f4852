import type { HeldQueue, QueueReader } from '../../core/log-reading.ts'
import type { QueueName, Store, TopicDeclaration } from '../../core/store.ts'
import type { IncomingBatch, Subscription } from '../../core/transport.ts'

const windowMax = 500

export interface LandingReaderParts {
  readonly name: string
  readonly store: Store<never>
  readonly topic: TopicDeclaration
  readonly subscription: Subscription
  readonly land: (batch: IncomingBatch) => Promise<void>
}

/** Reads one topic of the broker database's log for one service. Its cursor there advances only after the batch has landed (P13). */
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
    const { store, land } = this.#parts
    const { topic, queue } = held.lease
    const source = `database:${await store.epoch()}`
    await this.#rewind(held, source)
    for (; !held.draining.aborted; await held.breathe()) {
      const mark = held.mark()
      const window = await store.read(held.lease, held.position, windowMax)
      const end = window.at(-1)?.position
      if (end === undefined) {
        await held.idle(mark)
        continue
      }
      const messages = window.map((message) => ({
        ...message,
        from: { source, queue, position: message.position },
      }))
      await land({ messages, upTo: [{ source, topic, queue, position: end }] })
      await store.advance(held.lease, end)
      held.position = end
    }
  }

  /**
   * Starts from the older of the two recorded positions: after a restore of either database the other's is too new, and what lies
   * between would be lost (P13). A database that knows nothing of this log, though its cursor has moved, is a restored one, and
   * gets everything again. What was landed before is suppressed by its id.
   */
  async #rewind(held: HeldQueue, source: string): Promise<void> {
    const { topic, queue, start } = held.lease
    const landed = await this.#parts.subscription.landedUpTo(source, topic, queue)
    held.position = Math.min(held.position, landed ?? start)
  }
}
