import assert from 'node:assert/strict'
import type { Envelope } from '../core/message.ts'
import type { TopicDeclaration } from '../core/store.ts'
import type { OpenTransport, SendOutcome } from '../core/transport.ts'
import type { Promised } from './conformance-test.ts'
import { PlayedService, type Stage } from './played-service.ts'
import type {
  OutgoingMessage,
  TransportClaims,
  TransportFaults,
  TransportSubject,
} from './transport-subject.ts'

export type TransportPromise = Promised<TransportBench, TransportClaims>
export type Draft = Partial<Envelope>

const patienceMsDefault = 10_000

/** A transport to test, and short words for what tests do with it. */
export class TransportBench implements Stage {
  readonly subject: TransportSubject
  readonly claims: TransportClaims
  readonly #topics = new Map<string, TopicDeclaration>()
  readonly #connections = new Set<OpenTransport>()
  readonly #services: PlayedService[] = []
  readonly #watchers = new Set<() => void>()
  #sender: OpenTransport | undefined
  #position = 0

  private constructor(subject: TransportSubject, claims: TransportClaims) {
    this.subject = subject
    this.claims = claims
  }

  static async use(
    subject: TransportSubject,
    claims: TransportClaims,
    work: (bench: TransportBench) => Promise<void>,
  ): Promise<void> {
    const bench = new TransportBench(subject, claims)
    try {
      await work(bench)
    } finally {
      for (const service of bench.#services) await service.clearAway()
      for (const connection of bench.#connections) await bench.close(connection)
      await subject.dispose()
    }
  }

  get patienceMs(): number {
    return this.claims.patienceMs ?? patienceMsDefault
  }

  // ── names and messages ────────────────────────────────────────────────────────────────────────────────────────────────
  /** A name that the carrier has never heard. */
  name(readable: string): string {
    return `${readable}.${this.subject.ports.ids.message()}`
  }

  /** One queue, so that everything has one order, unless a test is about more. */
  topic(readable = 'order.paid', queues = 1): TopicDeclaration {
    const topic = { name: this.name(readable), queues }
    this.#topics.set(topic.name, topic)
    return topic
  }

  draft(topic: TopicDeclaration, draft: Draft = {}): OutgoingMessage {
    const { clock, ids, digest } = this.subject.ports
    const body = draft.body ?? JSON.stringify({ paid: 1 })
    const now = clock.now()
    return {
      id: ids.message(),
      service: 'order',
      topic: topic.name,
      tag: null,
      key: null,
      shardingKey: null,
      headers: {},
      body,
      bodyHash: digest(body),
      publishedAt: now,
      eligibleAt: now,
      ...draft,
      from: { source: 'database:order', queue: 0, position: ++this.#position },
    }
  }

  drafts(
    topic: TopicDeclaration,
    count: number,
    draft: (n: number) => Draft = () => ({}),
  ): OutgoingMessage[] {
    return Array.from({ length: count }, (_, n) => this.draft(topic, draft(n)))
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** A connection of its own; cleared away with the bench. */
  async open(service: string): Promise<OpenTransport> {
    const connection = await this.subject.transport.open(this.subject.context(service))
    this.#connections.add(connection)
    return connection
  }

  async close(connection: OpenTransport): Promise<void> {
    if (this.#connections.delete(connection)) await connection.close()
  }

  /** The publishing service's connection. */
  async sender(): Promise<OpenTransport> {
    this.#sender ??= await this.open(this.name('order'))
    return this.#sender
  }

  /** Sends one batch, as the relay would, and answers the outcomes. A rejected promise is *unknown* for all of it. */
  async trySend(
    messages: readonly OutgoingMessage[],
    connection?: OpenTransport,
  ): Promise<readonly SendOutcome[]> {
    const through = connection ?? (await this.sender())
    const named = new Set(messages.map((message) => message.topic))
    const topics = [...named].map((name) => this.#topics.get(name)!)
    try {
      return await this.within('a send is answered', through.send({ messages, topics }))
    } catch (error) {
      if (error instanceof PatienceLost) throw error
      return messages.map(() => ({ outcome: 'unknown', because: String(error) }))
    }
  }

  /** Sends, all in one batch, what must be answered as sent. Answers the ids. */
  async send(messages: readonly OutgoingMessage[], connection?: OpenTransport): Promise<string[]> {
    const outcomes = await this.trySend(messages, connection)
    assert.deepEqual(
      outcomes.map(({ outcome }) => outcome),
      messages.map(() => 'sent'),
    )
    return idsOf(messages)
  }

  /** A fault that the subject claims to have. */
  fault<Name extends keyof TransportFaults>(name: Name): NonNullable<TransportFaults[Name]> {
    const fault = this.subject.faults[name]
    assert.ok(fault, `the subject claims the fault ${name} but has no hook for it`)
    return fault.bind(this.subject.faults) as NonNullable<TransportFaults[Name]>
  }

  // ── receiving ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** A service with a database of its own. */
  service(readable = 'coupon'): PlayedService {
    const service = new PlayedService(this, this.name(readable))
    this.#services.push(service)
    return service
  }

  /** Waits until all of these messages have landed in the service, at least once each. */
  async untilLanded(service: PlayedService, ids: readonly string[]): Promise<void> {
    await this.until(
      () => `${ids.length} messages have landed in ${service.name}; missing: ${service.missing(ids).length}`,
      () => service.missing(ids).length === 0,
    )
  }

  /** Resolves once the condition holds; it is looked at after everything that a service did. */
  async until(what: string | (() => string), condition: () => boolean): Promise<void> {
    if (condition()) return
    let look = (): void => {}
    const held = new Promise<void>((resolve) => {
      look = () => condition() && resolve()
      this.#watchers.add(look)
    })
    try {
      await this.within(what, held)
    } finally {
      this.#watchers.delete(look)
    }
  }

  /** For the played services: something has happened. */
  changed(): void {
    for (const look of this.#watchers) look()
  }

  /** A promise that must settle before patience is lost. */
  async within<R>(what: string | (() => string), promise: Promise<R>): Promise<R> {
    let cancel = (): void => {}
    const lost = new Promise<never>((_, reject) => {
      const timer = setTimeout(() => {
        const wanted = typeof what === 'string' ? what : what()
        reject(new PatienceLost(`waited ${this.patienceMs} ms in vain until ${wanted}`))
      }, this.patienceMs)
      cancel = () => clearTimeout(timer)
    })
    try {
      return await Promise.race([promise, lost])
    } finally {
      cancel()
    }
  }
}

export class PatienceLost extends Error {}

export function idsOf(messages: readonly { readonly id: string }[]): string[] {
  return messages.map(({ id }) => id)
}

export function needs(claim: keyof TransportClaims['can']): (claims: TransportClaims) => string | undefined {
  const words = {
    keepsOrder: 'to keep order',
    ordersRetries: 'to keep order when it sends again',
    durable: 'to be durable',
    rewinds: 'to read again from an older position',
  }
  return ({ can }) => (can[claim] ? undefined : words[claim])
}

export function needsFault(fault: keyof TransportFaults): (claims: TransportClaims) => string | undefined {
  return ({ faults }) => (faults.includes(fault) ? undefined : `the fault hook ${fault}`)
}

/** The first reason of several. */
export function needsAll(
  ...all: readonly ((claims: TransportClaims) => string | undefined)[]
): (claims: TransportClaims) => string | undefined {
  return (claims) => all.map((one) => one(claims)).find((reason) => reason !== undefined)
}
