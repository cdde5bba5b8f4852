import { dueReader } from '../core/delayed.ts'
import type { HeldQueue, QueueReader } from '../core/log-reading.ts'
import type { Ports } from '../core/ports.ts'
import type { QueueName, Store, TopicDeclaration } from '../core/store.ts'

const movedMax = 500

/** Moves delayed messages into the log once they are due. Who holds a queue's lease moves its messages, nobody else (P22). */
export class DueMover implements QueueReader {
  readonly reader = dueReader
  readonly version = 0
  readonly runningMax = movedMax
  readonly #store: Store<never>
  readonly #ports: Ports
  #topics: readonly TopicDeclaration[] = []

  constructor(store: Store<never>, ports: Ports) {
    this.#store = store
    this.#ports = ports
  }

  async queues(): Promise<readonly QueueName[]> {
    const topics = await this.#store.topics()
    if (topics.length !== this.#topics.length) {
      await this.#store.declareReader(dueReader, topics, 'oldest')
      this.#topics = topics
    }
    return topics.flatMap((topic) =>
      Array.from({ length: topic.queues }, (_, queue) => ({ topic: topic.name, queue })),
    )
  }

  async serve(held: HeldQueue): Promise<void> {
    const { delayed } = this.#store
    for (; !held.draining.aborted; await held.breathe()) {
      const mark = held.mark()
      const { dueAt } = await held.outlook()
      const now = this.#ports.clock.now()
      const isDue = dueAt !== undefined && dueAt <= now
      const moved = isDue ? await delayed.moveDue(held.lease, now, movedMax) : 0
      if (moved === 0) await held.idle(mark, dueAt)
    }
  }
}
