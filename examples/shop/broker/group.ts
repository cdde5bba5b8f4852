import type { Delivery, GroupHealth, StoredMessage } from './protocol.ts'

interface Lease {
  readonly untilMs: number
  readonly deliveryId: string
}

/**
 * One consumer group: which messages it acknowledged, which are out on a lease, which come next. Pure: time is an
 * argument, and what must survive a crash (the acknowledgements) is replayed into a new one.
 */
export class Group {
  #topics: ReadonlySet<string>
  /** Everything before this offset was delivered at least once, or is not for this group. */
  #next = 0
  readonly #acknowledged = new Set<number>()
  readonly #leases = new Map<number, Lease>()
  readonly #attempts = new Map<number, number>()
  /** Delivered, then its lease ran out. Sorted when taken: the oldest is delivered again first. */
  readonly #givenBack = new Set<number>()

  constructor(topics: readonly string[]) {
    this.#topics = new Set(topics)
  }

  get topics(): ReadonlySet<string> {
    return this.#topics
  }

  /** A topic that is new to the group is read from its beginning. */
  subscribe(topics: readonly string[]): void {
    this.#topics = new Set(topics)
    this.#next = 0
  }

  take(log: readonly StoredMessage[], max: number, nowMs: number, leaseMs: number): Delivery[] {
    this.#expire(nowMs)
    const deliveries: Delivery[] = []
    const lease = (message: StoredMessage): void => {
      const attempt = (this.#attempts.get(message.offset) ?? 0) + 1
      const deliveryId = `${message.offset}:${attempt}`
      this.#attempts.set(message.offset, attempt)
      this.#leases.set(message.offset, { untilMs: nowMs + leaseMs, deliveryId })
      deliveries.push({ deliveryId, attempt, message })
    }
    for (const offset of [...this.#givenBack].toSorted((a, b) => a - b).slice(0, max)) {
      this.#givenBack.delete(offset)
      const message = log[offset]
      if (message !== undefined) lease(message)
    }
    for (; this.#next < log.length && deliveries.length < max; this.#next += 1) {
      const message = log[this.#next]
      if (message !== undefined && this.#isUntouched(message)) lease(message)
    }
    return deliveries
  }

  /** A late acknowledgement counts too: it says that the work is done, whoever holds the lease now. */
  acknowledge(offset: number): void {
    this.#acknowledged.add(offset)
    this.#leases.delete(offset)
    this.#attempts.delete(offset)
    this.#givenBack.delete(offset)
  }

  hasAcknowledged(offset: number): boolean {
    return this.#acknowledged.has(offset)
  }

  /** When the next lease runs out, so that a waiting receiver knows when to look again. */
  nextExpiryMs(): number {
    return Math.min(...[...this.#leases.values()].map((lease) => lease.untilMs), Number.POSITIVE_INFINITY)
  }

  pending(log: readonly StoredMessage[]): StoredMessage[] {
    return log.filter((message) => this.#topics.has(message.topic) && !this.#acknowledged.has(message.offset))
  }

  health(log: readonly StoredMessage[], nowMs: number): GroupHealth {
    this.#expire(nowMs)
    let ready = this.#givenBack.size
    for (let offset = this.#next; offset < log.length; offset += 1) {
      const message = log[offset]
      if (message !== undefined && this.#isUntouched(message)) ready += 1
    }
    return { ready, leased: this.#leases.size, acknowledged: this.#acknowledged.size }
  }

  #isUntouched({ offset, topic }: StoredMessage): boolean {
    const isOut = this.#leases.has(offset) || this.#givenBack.has(offset) || this.#acknowledged.has(offset)
    return this.#topics.has(topic) && !isOut
  }

  #expire(nowMs: number): void {
    for (const [offset, lease] of this.#leases) {
      if (lease.untilMs > nowMs) continue
      this.#leases.delete(offset)
      this.#givenBack.add(offset)
    }
  }
}
