import { reasonOf } from '../core/errors.ts'
import type { HeldQueue, QueueReader } from '../core/log-reading.ts'
import { type LoggedMessage, type SettledPosition, withMore } from '../core/message.ts'
import type { Ports } from '../core/ports.ts'
import { ReadAhead } from '../core/read-ahead.ts'
import type { QueueName, ReadMessage, Settlement, Store, TopicDeclaration } from '../core/store.ts'
import type { OpenTransport, SendOutcome } from '../core/transport.ts'
import { WindowSize } from '../core/window-size.ts'
import { CarrierPosition } from './carrier-position.ts'

const windowMax = 500
const dueMax = 100
export const relayReader = '@relay'

export interface RelayParts {
  readonly store: Store<never>
  readonly transport: OpenTransport
  readonly transportName: string
  readonly ports: Ports
}

/**
 * Takes messages from the log to the transport, in batches. The cursor passes a message only once it was sent or is among the dead
 * letters, so whatever was not sent is found again after any crash (P2): this *is* the compensator of the local message table.
 * A crash between sending and marking sends again, with the same ids; the receiving log suppresses them.
 */
export class Relay implements QueueReader {
  readonly reader = relayReader
  readonly version = 0
  readonly runningMax = windowMax
  readonly #parts: RelayParts
  #topics: readonly TopicDeclaration[] = []

  constructor(parts: RelayParts) {
    this.#parts = parts
  }

  /** All topics of the database, as they appear. */
  async queues(): Promise<readonly QueueName[]> {
    const topics = await this.#parts.store.topics()
    if (topics.length !== this.#topics.length) {
      await this.#parts.store.declareReader(relayReader, topics, 'oldest')
      this.#topics = topics
    }
    return topics.flatMap((topic) =>
      Array.from({ length: topic.queues }, (_, queue) => ({ topic: topic.name, queue })),
    )
  }

  async serve(held: HeldQueue): Promise<void> {
    const { store, ports, transport } = this.#parts
    const source = `database:${await store.epoch()}`
    const carrier =
      transport.positions && new CarrierPosition(store, transport.positions, held, source, ports)
    await carrier?.resume()
    const reading = new ReadAhead(store, held.lease, windowMax)
    const dueSize = new WindowSize(dueMax)
    for (; !held.draining.aborted; await held.breathe()) {
      const mark = held.mark()
      // At once: on a database that is elsewhere each is a round trip of its own.
      const [{ dueAt }, window] = await Promise.all([held.outlook(), reading.after(held.position)])
      // That the lease still held when it was read is known once this one is marked, before that one is sent.
      reading.begin(window)
      const now = ports.clock.now()
      const redriven =
        dueAt !== undefined && dueAt <= now ? await store.due(held.lease, now, dueSize.limit) : []
      dueSize.saw(redriven)
      const unanswered = redriven.length > 0 ? await this.#sendRedriven(held, redriven) : undefined
      if (window.length > 0) await this.#sendWindow(held, window, carrier)
      // Only now: one that is never answered must not hold up those that were not sent yet.
      if (unanswered) throw unanswered
      if (window.length > 0 || redriven.length > 0 || (await carrier?.lookAgain())) continue
      await held.idle(mark, dueAt)
    }
  }

  async #sendWindow(
    held: HeldQueue,
    window: readonly ReadMessage[],
    carrier: CarrierPosition | undefined,
  ): Promise<void> {
    const { store, ports, transportName } = this.#parts
    // What was landed here came from elsewhere and is not ours to send.
    const own = window.filter((message) => message.source === null && message.disposition === null)
    ports.reached('relay.read-not-sent')
    const outcomes = await this.#send(held, own, carrier?.upTo(window.at(-1)!.position))
    ports.reached('relay.sent-not-marked')
    // Only a contiguous prefix may be passed (P2).
    const stop = outcomes.findIndex((outcome) => outcome.outcome === 'unknown')
    if (stop < 0) await carrier?.passed(window.at(-1)!.position, own.length > 0)
    const passed = stop < 0 ? own : own.slice(0, stop)
    const end = stop < 0 ? window.at(-1)!.position : own[stop]!.position - 1
    const refused = passed.flatMap((message, i) => refusal(message, outcomes[i]!))
    if (refused.length > 0) await this.#settleRefused(held, refused)
    if (end > held.position) {
      const proof = outcomes.slice(0, passed.length).findLast((outcome) => outcome.outcome === 'sent')
      const from = passed[0]?.position ?? end
      await store.advance(
        held.lease,
        end,
        proof && {
          transport: transportName,
          from,
          count: passed.length - refused.length,
          proof: proof.proof,
        },
      )
      held.position = end
    }
    ports.telemetry.count('relayed', { transport: transportName }, passed.length - refused.length)
    if (stop >= 0)
      throw new Error(
        `the transport left ${own.length - stop} of ${own.length} messages unanswered: ${(outcomes[stop] as { because: string }).because}`,
      )
  }

  async #sendRedriven(held: HeldQueue, redriven: readonly LoggedMessage[]): Promise<Error | undefined> {
    const outcomes = await this.#send(held, redriven)
    const settlements = redriven.flatMap((message, i): Settlement[] => {
      const outcome = outcomes[i]!
      if (outcome.outcome === 'refused') return refusal(message, outcome)
      return outcome.outcome === 'sent'
        ? [{ message, state: 'done', attempts: 0, because: 'sent after a redrive' }]
        : []
    })
    await this.#settleRefused(held, settlements)
    const unknown = outcomes.find((outcome) => outcome.outcome === 'unknown')
    return unknown && new Error(`the transport left redriven messages unanswered: ${unknown.because}`)
  }

  async #settleRefused(held: HeldQueue, settlements: readonly Settlement[]): Promise<void> {
    await this.#parts.store.settle(held.lease, settlements)
    for (const { message, state, because } of settlements) {
      if (state === 'dead')
        this.#parts.ports.log.error(
          { id: message.id, topic: message.topic, key: message.key },
          `the transport refused a message, which is now a dead letter of ${relayReader}: ${because ?? ''}`,
        )
    }
  }

  async #send(
    held: HeldQueue,
    messages: readonly LoggedMessage[],
    upTo?: SettledPosition,
  ): Promise<readonly SendOutcome[]> {
    if (messages.length === 0) return []
    const source = `database:${await this.#parts.store.epoch()}`
    const batch = {
      topics: this.#topics.filter((topic) => topic.name === held.lease.topic),
      messages: messages.map((message) =>
        withMore(message, { from: { source, queue: message.queue, position: message.position } }),
      ),
      ...(upTo && { upTo }),
    }
    try {
      return await this.#parts.transport.send(batch)
    } catch (error) {
      return messages.map(() => ({ outcome: 'unknown', because: reasonOf(error) }))
    }
  }
}

function refusal(message: LoggedMessage, outcome: SendOutcome): Settlement[] {
  return outcome.outcome === 'refused'
    ? [{ message, state: 'dead', attempts: 1, cause: 'transport.refused', because: outcome.because }]
    : []
}
