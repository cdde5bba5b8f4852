import type { OpenDatabase } from '../../core/database.ts'
import { WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import type { QueueReaders } from '../../core/log-reading.ts'
import type { TopicDeclaration } from '../../core/store.ts'
import type {
  CarrierPositions,
  IncomingBatch,
  OpenTransport,
  OutgoingBatch,
  SendOutcome,
  Subscription,
  TransportContext,
} from '../../core/transport.ts'
import { LandingReader } from './landing-reader.ts'

/** Messages per transaction of the broker database: short enough not to keep other writers waiting. */
const chunk = 200
const stopWithinMs = 5_000

export class DatabaseCarrier implements OpenTransport {
  readonly positions: CarrierPositions
  readonly #broker: OpenDatabase<never>
  readonly #context: TransportContext
  readonly #stopUpkeep: () => void
  #subscription: Subscription | undefined
  #topics: readonly TopicDeclaration[] = []

  constructor(broker: OpenDatabase<never>, context: TransportContext) {
    this.#broker = broker
    this.#context = context
    this.positions = {
      sentUpTo: (source, topic, queue) => broker.store.landedUpTo(source, topic, queue),
      record: async (at) => void (await broker.store.land({ messages: [], topics: [], upTo: [at] })),
    }
    this.#stopUpkeep = context.upkeep(broker.store)
  }

  /** In order, a transaction per chunk. What was sent before is found by its id and answered as sent. */
  async send(batch: OutgoingBatch): Promise<readonly SendOutcome[]> {
    const outcomes: SendOutcome[] = []
    const proof = `database:${await this.#broker.store.epoch()}`
    try {
      for (let i = 0; i < batch.messages.length; i += chunk) {
        const messages = batch.messages.slice(i, i + chunk)
        const upTo = batch.upTo && i + chunk >= batch.messages.length ? [batch.upTo] : []
        const answers = await this.#broker.store.land({ messages, topics: batch.topics, upTo })
        for (const answer of answers) {
          outcomes.push(
            answer === 'collision'
              ? { outcome: 'refused', because: 'the broker database holds another message with this id' }
              : { outcome: 'sent', proof },
          )
        }
        if (i + chunk < batch.messages.length) this.#context.ports.reached('relay.partly-sent')
      }
    } catch (error) {
      const because = reasonOf(error)
      while (outcomes.length < batch.messages.length) outcomes.push({ outcome: 'unknown', because })
    }
    return outcomes
  }

  async subscribe(subscription: Subscription): Promise<void> {
    const { store } = this.#broker
    await store.registerGroups(
      subscription.topics.flatMap((topic) => topic.groups),
      subscription.databaseId,
    )
    this.#topics = await this.#declare(subscription.topics)
    for (const topic of subscription.topics) {
      const reader = this.#readerOf(topic.name)
      const older = await store.countOlder(reader, [topic.name])
      if (older > 0 && topic.from === undefined) {
        throw new WaybillError(
          'group.start-position-needed',
          `consumer group ${topic.groups.join(', ')} is new to ${topic.name} and ${older} older messages are there; say where it starts: from: 'oldest' (handle them), 'now' (skip them) or a Date`,
          { groups: topic.groups, topic: topic.name, older },
        )
      }
      const known = this.#topics.filter((other) => other.name === topic.name)
      await store.declareReader(reader, known, topic.from ?? 'oldest')
    }
    this.#subscription = subscription
  }

  async receive(land: (batch: IncomingBatch) => Promise<void>, signal: AbortSignal): Promise<void> {
    const subscription = this.#subscription
    if (!subscription || signal.aborted) return
    const { ports, leaseMs, logReading } = this.#context
    const { store } = this.#broker
    const readers: QueueReaders = logReading.over(store, ports.ids.owner(), leaseMs)
    for (const topic of this.#topics) {
      readers.add(
        new LandingReader({ name: this.#readerOf(topic.name), store, topic, subscription, land, ports }),
      )
    }
    await readers.start()
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await readers.stop(stopWithinMs)
  }

  close(): Promise<void> {
    this.#stopUpkeep()
    return this.#broker.close()
  }

  /** A reader per topic: instances of one service need not all want the same topics, as while a new one is deployed. */
  #readerOf(topic: string): string {
    return `@land:${this.#context.service}/${topic}`
  }

  /** The broker's own number of queues counts here; a topic is created like the first declaration that comes. */
  async #declare(wanted: readonly TopicDeclaration[]): Promise<readonly TopicDeclaration[]> {
    const { store } = this.#broker
    for (const topic of wanted) {
      try {
        await store.declareTopics([{ name: topic.name, queues: topic.queues }])
      } catch (error) {
        if (!isWaybillError(error, 'topic.queues-differ')) throw error
      }
    }
    const names = new Set(wanted.map((topic) => topic.name))
    return (await store.topics()).filter((topic) => names.has(topic.name))
  }
}
