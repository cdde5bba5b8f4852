import type {
  BookOpening,
  BookReader,
  BookStore,
  CarriedMessage,
  SentMessage,
  SentPage,
} from '../core/books.ts'
import { reasonOf } from '../core/errors.ts'
import type { MessageId } from '../core/ids.ts'
import { onItsWayMs } from './origin-verdict.ts'

/** What one database has sent of a topic, and what of it lies in another whose groups take it. */
export interface Delivery {
  readonly topic: string
  readonly from: string
  readonly to: string
  readonly groups: readonly string[]
  readonly sent: number
  readonly landed: number
  readonly inTransit: number
  /** Sent before the groups began. */
  readonly notOwed: number
  /** Older than one of the databases keeps messages. */
  readonly noData: number
  /** Sent, confirmed, overdue, and nowhere. */
  readonly missing: number
  /** The first of them. */
  readonly offenders: readonly MissingMessage[]
  /** Why it could not be followed to its end; null where it was. Then the counts are of what was read. */
  readonly failed: string | null
}

export interface MissingMessage {
  readonly id: MessageId
  readonly key: string | null
  readonly queue: number
  readonly position: number
  readonly publishedAt: number
  readonly sentAt: number | null
  /** The last who confirmed to have it. */
  readonly proof: string | null
}

export interface DeliveryOptions {
  readonly overdueMs: number
  readonly limit: number
  readonly breathe: () => Promise<void>
}

interface Books {
  readonly database: string
  readonly store: BookStore
  readonly opening: BookOpening
}

/** Follows what each database has sent to every other that has groups for it. */
export async function deliveriesOf(
  books: readonly Books[],
  options: DeliveryOptions,
): Promise<readonly Delivery[]> {
  const deliveries: Delivery[] = []
  for (const origin of books) {
    if (!origin.opening.readers.some(({ name }) => name === '@relay')) continue
    const routes = books
      .filter((other) => other !== origin)
      .flatMap((consumer) => routesTo(consumer, origin, books, options))
    if (routes.length === 0) continue
    let failed: string | null = null
    try {
      await followAll(origin, routes, options)
    } catch (error) {
      failed = reasonOf(error)
    }
    deliveries.push(...routes.map((route) => ({ ...route.result(), failed })))
  }
  return deliveries
}

async function followAll(
  { store, opening }: Books,
  routes: readonly Route[],
  options: DeliveryOptions,
): Promise<void> {
  for (let after: number | undefined = 0; after !== undefined; await options.breathe()) {
    const page: SentPage = await store.sent(opening.watermark, after)
    for (const { topic, queue, ids } of page.queues)
      for (const route of routes) if (route.topic === topic) await route.follow(queue, ids)
    after = page.next
  }
}

function routesTo(
  consumer: Books,
  origin: Books,
  books: readonly Books[],
  options: DeliveryOptions,
): readonly Route[] {
  const groups = consumer.opening.readers.filter(({ start }) => start !== null)
  const topics = new Set(groups.flatMap((group) => group.topics))
  const carriers = books.filter(({ opening }) => opening.carries)
  return [...topics].toSorted().map((topic) => {
    const own = groups.filter((group) => group.topics.includes(topic))
    return new Route({ topic, origin, consumer, groups: own, carriers }, options)
  })
}

interface RouteParts {
  readonly topic: string
  readonly origin: Books
  readonly consumer: Books
  readonly groups: readonly BookReader[]
  readonly carriers: readonly Books[]
}

type Judgement = 'in-transit' | 'not-owed' | 'no-data' | 'missing'

interface Absent {
  readonly message: SentMessage
  /** Whether a later one of its queue has landed. */
  readonly overtaken: boolean
}

/** One topic from one database to another. Most messages cost their share of one statement; only absent ones are looked at singly. */
class Route {
  readonly topic: string
  readonly #parts: RouteParts
  readonly #options: DeliveryOptions
  readonly #counts = { sent: 0, inTransit: 0, notOwed: 0, noData: 0, missing: 0 }
  readonly #offenders: MissingMessage[] = []
  /** Young ones at the end of a portion: the next portion tells whether they were overtaken. */
  readonly #pending = new Map<number, readonly MessageId[]>()

  constructor(parts: RouteParts, options: DeliveryOptions) {
    this.topic = parts.topic
    this.#parts = parts
    this.#options = options
  }

  /** @param ids of one queue, in the order in which they were sent */
  async follow(queue: number, ids: readonly MessageId[]): Promise<void> {
    this.#counts.sent += ids.length
    const absent = await this.#parts.consumer.store.lacking(ids)
    const isAbsent = new Set(absent)
    const lastLanded = ids.findLastIndex((id) => !isAbsent.has(id))
    const overtaken = new Set(ids.slice(0, Math.max(0, lastLanded)).filter((id) => isAbsent.has(id)))
    const pending = lastLanded < 0 ? [] : (this.#pending.get(queue) ?? [])
    if (lastLanded >= 0) this.#pending.set(queue, [])
    // They were counted as in transit, and are judged again.
    this.#counts.inTransit -= pending.length
    for (const id of pending) overtaken.add(id)
    const young = await this.#judge([...pending, ...absent], overtaken)
    this.#pending.set(queue, [
      ...(this.#pending.get(queue) ?? []),
      ...young.filter((id) => !overtaken.has(id)),
    ])
  }

  result(): Omit<Delivery, 'failed'> {
    const { sent, ...rest } = this.#counts
    const elsewhere = Object.values(rest).reduce((sum, count) => sum + count, 0)
    return {
      topic: this.topic,
      from: this.#parts.origin.database,
      to: this.#parts.consumer.database,
      groups: this.#parts.groups.map(({ name }) => name),
      sent,
      landed: sent - elsewhere,
      ...rest,
      offenders: this.#offenders,
    }
  }

  /** Answers those in transit that could be overtaken yet. */
  async #judge(ids: readonly MessageId[], overtaken: ReadonlySet<MessageId>): Promise<readonly MessageId[]> {
    if (ids.length === 0) return []
    const { origin, consumer, carriers } = this.#parts
    const messages = await origin.store.describe(ids)
    // Dropped meanwhile: nobody can tell any more.
    this.#counts.noData += ids.length - messages.length
    const carried = new Map<MessageId, { carrier: Books; at: CarriedMessage }>()
    for (const carrier of carriers)
      for (const at of await carrier.store.carried(ids)) carried.set(at.id, { carrier, at })
    const young: MessageId[] = []
    const missing: SentMessage[] = []
    for (const message of messages) {
      const judgement = this.#judgementOf(
        { message, overtaken: overtaken.has(message.id) },
        carried.get(message.id),
      )
      if (judgement === 'missing') missing.push(message)
      else if (judgement === 'not-owed') this.#counts.notOwed++
      else if (judgement === 'no-data') this.#counts.noData++
      else {
        this.#counts.inTransit++
        if (!carried.has(message.id)) young.push(message.id)
      }
    }
    // It may have landed between the two looks: only what is still not there is missing.
    const gone = new Set(
      missing.length === 0 ? [] : await consumer.store.lacking(missing.map(({ id }) => id)),
    )
    const keptSince = gone.size === 0 ? 0 : await this.#keptSinceNow()
    for (const message of missing)
      if (!gone.has(message.id)) continue
      else if (message.publishedAt < keptSince) this.#counts.noData++
      else this.#report(message)
    return young
  }

  /** It may have been dropped since the books were opened, and its receipt with it. */
  async #keptSinceNow(): Promise<number> {
    const { consumer, carriers } = this.#parts
    const all = await Promise.all([consumer, ...carriers].map(({ store }) => store.keptSince()))
    return Math.max(...all.map((since) => since ?? 0))
  }

  #judgementOf(
    { message, overtaken }: Absent,
    found: { readonly carrier: Books; readonly at: CarriedMessage } | undefined,
  ): Judgement {
    const { origin, consumer, carriers } = this.#parts
    const carrier =
      found?.carrier ?? carriers.find(({ opening }) => message.proof === `database:${opening.epoch}`)
    if (!this.#isOwed(message, carrier !== undefined)) return 'not-owed'
    if (found) {
      const { at } = found
      if (at.services > 0 && at.notOwed === at.services) return 'not-owed'
      const source = `database:${found.carrier.opening.epoch}`
      const landedUpTo = consumer.opening.landed.find(
        (landed) => landed.source === source && landed.topic === message.topic && landed.queue === at.queue,
      )
      const hasPassed = landedUpTo !== undefined && landedUpTo.position >= at.position
      if (!hasPassed) return at.notOwed > 0 && at.unfetched === 0 ? 'not-owed' : 'in-transit'
    }
    const keptSince = Math.max(
      ...[origin, consumer, ...(found ? [] : carriers)].map(({ opening }) => opening.keptSince ?? 0),
    )
    if (message.publishedAt < keptSince) return 'no-data'
    // Confirmed by a carrier that can be looked into, and not there: it will not come any more. Or it has landed, and vanished.
    if (carrier) return 'missing'
    const age = origin.opening.now - (message.sentAt ?? message.eligibleAt)
    const isOverdue = age >= this.#options.overdueMs
    const isLate = overtaken && !message.resent && age >= Math.min(onItsWayMs, this.#options.overdueMs)
    return isOverdue || isLate ? 'missing' : 'in-transit'
  }

  /** A group owes what came after its start; one that began at the oldest, also what a carrier still had for it. */
  #isOwed(message: SentMessage, isCarrierKnown: boolean): boolean {
    return this.#parts.groups.some(({ start, createdAt }) => {
      if (start === 'oldest') return isCarrierKnown || message.publishedAt >= createdAt
      if (start === 'now') return message.publishedAt >= createdAt
      return message.eligibleAt >= Date.parse(start ?? '')
    })
  }

  #report({ id, key, queue, position, publishedAt, sentAt, proof }: SentMessage): void {
    this.#counts.missing++
    if (this.#offenders.length < this.#options.limit)
      this.#offenders.push({ id, key, queue, position, publishedAt, sentAt, proof })
  }
}
