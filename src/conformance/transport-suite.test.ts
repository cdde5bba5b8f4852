import { describe, expect, test } from 'vitest'
import type { MessageId } from '../core/ids.ts'
import type {
  IncomingBatch,
  OpenTransport,
  OutgoingBatch,
  SendOutcome,
  Subscription,
} from '../core/transport.ts'
import { seededRandom, testPorts } from '../testing/ports.ts'
import { turn } from './played-service.ts'
import type { OutgoingMessage, TransportClaims, TransportSubject } from './transport-subject.ts'
import { transportSuite } from './transport-suite.ts'

/**
 * What a broker may be at its worst: it reorders, brings things twice, knows no positions and no groups. It must pass with what it
 * claims. And each of these faults, planted in it, must be caught, or the suite is worth nothing.
 */
const faults = {
  'acknowledges before the batch has landed': 'comes again',
  'drops a batch whose landing failed': 'P2: a batch whose landing fails comes again',
  'forgets what a connection held when it closes': 'had not landed when its process was gone',
  'drops the last message of a large batch': '1,500 messages',
  'gives one service what another has taken': 'every service that subscribes gets every message',
  'brings every topic to everybody': 'only those that it asked for',
  'mixes up the topics of instances': 'an instance is brought only topics that it asked for',
  'answers one outcome too few': 'one outcome per message',
  'answers sent without a proof': 'a proof for each',
  'answers sent though it refused': 'a message that the carrier refuses',
  'answers sent though nothing reached it': 'what does not reach the carrier is unknown',
  'answers sent though the answer got lost': 'an answer that got lost is unknown',
  'loses headers': 'every field survives: every field',
  'makes text of bytes': 'every field survives: all 256 bytes',
  'makes bytes of text': 'every field survives: a message with nothing but a body',
  'sends the whole buffer behind a view': 'a part of a larger buffer',
  'parses and prints JSON anew': 'JSON text exactly as it was written',
  'cuts what is not ASCII': 'text that is not ASCII',
  'stamps its own time': 'times that are not now',
  'lands two batches at once': 'do not overlap in time',
  'does not end when the signal aborts': 'receive ends promptly when its signal aborts',
  'lands on after it has ended': 'nothing is landed after receive has ended',
  'ends at the first failure': 'P2: a landing that fails late',
  'begins with what was there before': "P26: from 'now': only",
  'begins only when it receives': "P26: from 'now' is when",
  'brings all again after every start': 'not all brought again',
  'leaves a timer behind': 'close leaves no timer',
  'keeps a handle open': 'close leaves no timer',
} as const

type Fault = keyof typeof faults

const claims: TransportClaims = {
  can: { keepsOrder: false, ordersRetries: false, durable: true, rewinds: false },
  registersGroups: false,
  faults: ['refusable', 'cutOff', 'swallowAnswer'],
  patienceMs: 5_000,
}

interface Held {
  readonly message: OutgoingMessage
  readonly position: number
}

/** What one service has not acknowledged yet. */
interface Mailbox {
  readonly topics: Set<string>
  waiting: Held[]
  all: Held[]
}

class UnrulyBroker {
  readonly random = seededRandom(7)
  readonly mailboxes = new Map<string, Mailbox>()
  readonly before: Held[] = []
  readonly #listeners = new Set<() => void>()
  isCutOff = false
  swallows = false
  position = 0
  timers = 0

  has: (fault: Fault) => boolean
  constructor(fault: Fault | undefined) {
    this.has = (other) => other === fault
  }

  accept(message: OutgoingMessage): void {
    const held = { message: this.#spoil(message), position: ++this.position }
    this.before.push(held)
    for (const mailbox of this.mailboxes.values()) {
      if (!this.has('brings every topic to everybody') && !mailbox.topics.has(message.topic)) continue
      mailbox.waiting.push(held)
      mailbox.all.push(held)
      // It happens.
      if (this.random() < 0.1) mailbox.waiting.push(held)
      if (this.has('gives one service what another has taken')) break
    }
    for (const listener of this.#listeners) listener()
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#listeners.add(done)
      if (!this.has('does not end when the signal aborts')) signal.addEventListener('abort', done)
    })
  }

  #spoil(message: OutgoingMessage): OutgoingMessage {
    const { body } = message
    if (this.has('loses headers')) return { ...message, headers: {} }
    if (this.has('stamps its own time')) return { ...message, publishedAt: 1, eligibleAt: 1 }
    if (this.has('cuts what is not ASCII'))
      return { ...message, key: message.key?.replaceAll(/[^ -~]/g, '?') ?? null }
    if (typeof body === 'string') {
      if (this.has('makes bytes of text')) return { ...message, body: new TextEncoder().encode(body) }
      if (this.has('parses and prints JSON anew'))
        return { ...message, body: JSON.stringify(JSON.parse(body)) }
      return message
    }
    if (this.has('makes text of bytes')) return { ...message, body: Buffer.from(body).toString() }
    if (this.has('sends the whole buffer behind a view'))
      return { ...message, body: new Uint8Array(body.buffer) }
    return message
  }
}

class UnrulyConnection implements OpenTransport {
  readonly #broker: UnrulyBroker
  readonly #service: string
  #inFlight: Held[] = []
  #closed = false
  readonly #topics = new Set<string>()
  #subscribed: (() => void) | undefined

  constructor(broker: UnrulyBroker, service: string) {
    this.#broker = broker
    this.#service = service
  }

  async send({ messages }: OutgoingBatch): Promise<readonly SendOutcome[]> {
    const broker = this.#broker
    await turn()
    const sent: SendOutcome = {
      outcome: 'sent',
      proof: broker.has('answers sent without a proof') ? '' : 'ok',
    }
    if (broker.isCutOff) {
      if (broker.has('answers sent though nothing reached it')) return messages.map(() => sent)
      throw new Error('connection refused')
    }
    const outcomes = messages.map((message, i): SendOutcome => {
      if (message.headers['x-refused'] !== undefined)
        return broker.has('answers sent though it refused')
          ? sent
          : { outcome: 'refused', because: 'asked to' }
      if (!(i >= 999 && broker.has('drops the last message of a large batch'))) broker.accept(message)
      return sent
    })
    const swallows = broker.swallows
    broker.swallows = false
    if (swallows && !broker.has('answers sent though the answer got lost')) throw new Error('socket hang up')
    return broker.has('answers one outcome too few') ? outcomes.slice(1) : outcomes
  }

  async subscribe({ topics }: Subscription): Promise<void> {
    const broker = this.#broker
    for (const { name } of topics) this.#topics.add(name)
    const subscribe = (): void => {
      const mailbox = broker.mailboxes.get(this.#service) ?? { topics: new Set(), waiting: [], all: [] }
      for (const { name } of topics) mailbox.topics.add(name)
      if (broker.has('begins with what was there before') && !broker.mailboxes.has(this.#service))
        mailbox.waiting = [...broker.before]
      broker.mailboxes.set(this.#service, mailbox)
    }
    if (broker.has('begins only when it receives')) this.#subscribed = subscribe
    else subscribe()
  }

  async receive(land: (batch: IncomingBatch) => Promise<void>, signal: AbortSignal): Promise<void> {
    this.#subscribed?.()
    const broker = this.#broker
    const mailbox = broker.mailboxes.get(this.#service)!
    if (broker.has('brings all again after every start')) mailbox.waiting = [...mailbox.all]
    if (broker.has('lands on after it has ended')) {
      void this.#pump(mailbox, land, new AbortController().signal)
      while (!signal.aborted) await broker.changed(signal)
      return
    }
    await Promise.all([
      this.#pump(mailbox, land, signal),
      ...(broker.has('lands two batches at once') ? [this.#pump(mailbox, land, signal)] : []),
    ])
  }

  async close(): Promise<void> {
    const broker = this.#broker
    this.#closed = true
    if (broker.has('leaves a timer behind')) broker.timers++
    if (broker.has('keeps a handle open')) leftOpen.push(setInterval(() => {}, 100_000))
    if (!broker.has('forgets what a connection held when it closes'))
      broker.mailboxes.get(this.#service)?.waiting.push(...this.#inFlight)
  }

  #take(mailbox: Mailbox, count: number): Held[] {
    const anyTopic =
      this.#broker.has('brings every topic to everybody') ||
      this.#broker.has('mixes up the topics of instances')
    const batch = mailbox.waiting
      .filter(({ message }) => anyTopic || this.#topics.has(message.topic))
      .slice(0, count)
    mailbox.waiting = mailbox.waiting.filter((held) => !batch.includes(held))
    return batch
  }

  async #pump(mailbox: Mailbox, land: (batch: IncomingBatch) => Promise<void>, signal: AbortSignal) {
    const broker = this.#broker
    while (!signal.aborted && !this.#closed) {
      const batch = this.#take(mailbox, 1 + Math.floor(broker.random() * 50))
      if (batch.length === 0) {
        await broker.changed(signal)
        continue
      }
      batch.sort(() => broker.random() - 0.5)
      this.#inFlight = broker.has('acknowledges before the batch has landed') ? [] : batch
      try {
        await land({ messages: batch.map(toIncoming), upTo: [] })
      } catch (error) {
        if (broker.has('ends at the first failure')) return
        if (broker.has('acknowledges before the batch has landed')) continue
        if (!broker.has('drops a batch whose landing failed')) mailbox.waiting.push(...batch)
        if (error === undefined) throw error
      }
      // A connection that closed meanwhile has given the batch back: its late acknowledgement counts for nothing.
      if (!this.#closed) this.#inFlight = []
      await turn()
    }
  }
}

function toIncoming({ message, position }: Held): IncomingBatch['messages'][number] {
  return { ...message, id: message.id as MessageId, from: { source: 'unruly', queue: 0, position } }
}

const leftOpen: NodeJS.Timeout[] = []

function subjectOf(fault?: Fault): TransportSubject {
  const ports = testPorts()
  const broker = new UnrulyBroker(fault)
  return {
    ports,
    transport: {
      name: 'unruly',
      can: claims.can,
      open: async ({ service }) => new UnrulyConnection(broker, service),
    },
    context: (service) => ({
      ports,
      service,
      leaseMs: 1_000,
      logReading: {} as never,
      upkeep: () => () => {},
    }),
    pendingTimers: () => broker.timers,
    faults: {
      refusable: async (message) => ({ ...message, headers: { 'x-refused': 'yes' } }),
      cutOff: () => {
        broker.isCutOff = true
        return () => (broker.isCutOff = false)
      },
      swallowAnswer: () => (broker.swallows = true),
    },
    dispose: async () => leftOpen.splice(0).forEach((timer) => clearInterval(timer)),
  }
}

describe('a broker that reorders and repeats passes with what it claims', () => {
  const suite = transportSuite(() => subjectOf(), claims)
  const held = suite.filter(({ skip }) => skip === undefined)
  test.each(held)('$name', ({ run }) => expect(run()).resolves.toBeUndefined())

  test('and what it does not claim is listed as skipped, with the reason', () => {
    const reasons = new Set(suite.flatMap(({ skip }) => skip ?? []))
    expect(reasons).toEqual(
      new Set([
        'not claimed: to keep order',
        'not claimed: to read again from an older position',
        'not claimed: to know which database consumes a group',
      ]),
    )
  })
})

describe('a planted fault is caught: a broker that', () => {
  test.each(Object.entries(faults) as [Fault, string][])('%s', async (fault, caughtBy) => {
    const suite = transportSuite(() => subjectOf(fault), { ...claims, patienceMs: 300 })
    const catching = suite.filter(({ name, skip }) => skip === undefined && name.includes(caughtBy))
    expect(catching).not.toEqual([])
    const verdicts = await Promise.all(
      catching.map(({ run }) =>
        run().then(
          () => 'passed',
          () => 'caught',
        ),
      ),
    )
    expect(verdicts).toContain('caught')
  })
})
