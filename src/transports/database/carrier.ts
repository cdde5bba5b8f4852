import type { OpenDatabase } from '../../core/database.ts'
import { WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import type { QueueReaders } from '../../core/log-reading.ts'
import type { TopicDeclaration } from '../../core/store.ts'
import type {
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
  readonly #broker: OpenDatabase<never>
  readonly #context: TransportContext
  readonly #readerName: string
  #subscription: Subscription | undefined
  #topics: readonly TopicDeclaration[] = []

  constructor(broker: OpenDatabase<never>, context: TransportContext) {
    this.#broker = broker
    this.#context = context
    this.#readerName = `@land:${context.service}`
  }

  /** In order, a transaction per chunk. What was sent before is found by its id and answered as sent. */
  async send(batch: OutgoingBatch): Promise<readonly SendOutcome[]> {
    const outcomes: SendOutcome[] = []
    const proof = `database:${await this.#broker.store.epoch()}`
    try {
      for (let i = 0; i < batch.messages.length; i += chunk) {
        const messages = batch.messages.slice(i, i + chunk)
        const answers = await this.#broker.store.land({ messages, topics: batch.topics, upTo: [] })
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
      const older = await store.countOlder(this.#readerName, [topic.name])
      if (older > 0 && topic.from === undefined) {
        throw new WaybillError(
          'group.start-position-needed',
          `consumer group ${topic.groups.join(', ')} is new to ${topic.name} and ${older} older messages are there; say where it starts: from: 'oldest' (handle them), 'now' (skip them) or a Date`,
          { groups: topic.groups, topic: topic.name, older },
        )
      }
      await store.declareReader(
        this.#readerName,
        this.#topics.filter((known) => known.name === topic.name),
        topic.from ?? 'oldest',
      )
    }
    this.#subscription = subscription
  }

  async receive(land: (batch: IncomingBatch) => Promise<void>, signal: AbortSignal): Promise<void> {
    const subscription = this.#subscription
    if (!subscription || signal.aborted) return
    const { ports, leaseMs, logReading } = this.#context
    const readers: QueueReaders = logReading.over(this.#broker.store, ports.ids.owner(), leaseMs)
    readers.add(
      new LandingReader({
        name: this.#readerName,
        store: this.#broker.store,
        topics: this.#topics,
        subscription,
        land,
      }),
    )
    await readers.start()
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await readers.stop(stopWithinMs)
  }

  close(): Promise<void> {
    return this.#broker.close()
  }

  /** The broker's own number of queues counts here; a topic is created like the first declaration that comes. */
  async #declare(wanted: readonly TopicDeclaration[]): Promise<readonly TopicDeclaration[]> {
    const { store } = this.#broker
    const names = new Set(wanted.map((topic) => topic.name))
    const known = await store.topics()
    try {
      await store.declareTopics(wanted.filter((topic) => !known.some((other) => other.name === topic.name)))
    } catch (error) {
      // Another service created it meanwhile, with another number: then that one counts.
      if (!isWaybillError(error, 'topic.queues-differ')) throw error
    }
    return (await store.topics()).filter((topic) => names.has(topic.name))
  }
}
