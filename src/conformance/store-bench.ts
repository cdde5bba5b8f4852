import assert from 'node:assert/strict'
import type { OpenDatabase } from '../core/database.ts'
import { type ErrorCode, WaybillError } from '../core/errors.ts'
import type { Pause } from '../core/groups.ts'
import type { MessageId, OwnerId } from '../core/ids.ts'
import type { LoggedMessage, PublishedEnvelope } from '../core/message.ts'
import type {
  Appended,
  ClaimFrom,
  GroupDeclaration,
  LandingBatch,
  Lease,
  Outlook,
  QueueName,
  ReadMessage,
  ReaderMembership,
  Settlement,
  Share,
  Store,
  StoreCapabilities,
  TopicDeclaration,
} from '../core/store.ts'
import type { Promised } from './conformance-test.ts'
import type { DatabaseSubject } from './subject.ts'

/** What a store claims. What it does not claim is shown as skipped. */
export interface StoreClaims {
  readonly can: StoreCapabilities
  /** Whether `advance` moves the store's clock by any length at once. */
  readonly timeTravel: boolean
}

export type StorePromise = Promised<StoreBench, StoreClaims>

export const leaseMs = 10_000

/** One queue, so that everything has one order, unless a test is about more. */
export const paid: TopicDeclaration = { name: 'order.paid', queues: 1 }

export type Draft = Partial<PublishedEnvelope>

export interface GroupOptions extends Partial<GroupDeclaration> {
  readonly runningMax?: number
}

/** A store to test, and short words for what tests do with it. `Tx` is the handle's business, so it is unknown here. */
export class StoreBench {
  readonly subject: DatabaseSubject<unknown>
  readonly database: OpenDatabase<unknown>
  readonly #opened: OpenDatabase<unknown>[]
  readonly #groups = new Map<string, { declaration: GroupDeclaration; runningMax: number }>()
  readonly #topics = new Map<string, TopicDeclaration>([[paid.name, paid]])

  private constructor(subject: DatabaseSubject<unknown>, database: OpenDatabase<unknown>) {
    this.subject = subject
    this.database = database
    this.#opened = [database]
  }

  static async use<Tx>(
    subject: DatabaseSubject<Tx>,
    work: (bench: StoreBench) => Promise<void>,
  ): Promise<void> {
    const untyped = subject as unknown as DatabaseSubject<unknown>
    const bench = new StoreBench(untyped, await untyped.open())
    try {
      await work(bench)
    } finally {
      for (const database of bench.#opened) await database.close()
      await subject.dispose()
    }
  }

  get store(): Store<unknown> {
    return this.database.store
  }

  get now(): number {
    return this.subject.ports.clock.now()
  }

  /** When the queue's reader has to look for messages outside of the log. */
  async dueAt(lease: Lease): Promise<number | undefined> {
    return (await this.outlook(lease)).dueAt
  }

  async outlook({ reader, topic, queue, owner }: Lease): Promise<Outlook> {
    const all = await this.store.outlook(owner)
    return all.find((one) => one.reader === reader && one.topic === topic && one.queue === queue)!
  }

  async pauseOf(group: string): Promise<Pause | null> {
    return (await this.store.groups.list()).find(({ name }) => name === group)?.paused ?? null
  }

  /** The same database, as another process sees it. */
  async another(): Promise<OpenDatabase<unknown>> {
    const database = await this.subject.open()
    this.#opened.push(database)
    return database
  }

  advance(ms: number): Promise<void> {
    return this.subject.advance(ms)
  }

  owner(): OwnerId {
    return this.subject.ports.ids.owner()
  }

  effects(): Promise<readonly string[]> {
    return this.subject.effects.all()
  }

  transaction<R>(work: (tx: unknown) => R | Promise<R>): Promise<R> {
    return this.database.transaction({ work })
  }

  // ── publishing ────────────────────────────────────────────────────────────────────────────────────────────────────────
  draft(draft: Draft = {}): PublishedEnvelope {
    const body = draft.body ?? JSON.stringify({ paid: 1 })
    return {
      id: this.subject.ports.ids.message(),
      service: 'order',
      topic: paid.name,
      tag: null,
      key: null,
      shardingKey: null,
      headers: {},
      body,
      bodyHash: this.subject.ports.digest(body),
      publishedAt: this.now,
      eligibleAt: this.now,
      dedupKey: null,
      ...draft,
    }
  }

  /** Publishes in a transaction of its own. */
  append(...drafts: readonly Draft[]): Promise<readonly Appended[]> {
    return this.transaction((tx) => this.appendIn(tx, ...drafts))
  }

  async appendIn(tx: unknown, ...drafts: readonly Draft[]): Promise<readonly Appended[]> {
    return await this.store.append(
      tx,
      drafts.map((draft) => this.draft(draft)),
      [...this.#topics.values()],
    )
  }

  /** Publishes and answers the ids. */
  async publish(...drafts: readonly Draft[]): Promise<MessageId[]> {
    return (await this.append(...drafts)).map(({ id }) => id)
  }

  async publishMany(count: number, draft: Draft = {}): Promise<MessageId[]> {
    return this.publish(...Array.from({ length: count }, () => draft))
  }

  /** Topics besides `order.paid` that this test publishes to. */
  async topic(declaration: TopicDeclaration): Promise<void> {
    this.#topics.set(declaration.name, declaration)
    await this.store.declareTopics([declaration])
  }

  // ── groups and leases ─────────────────────────────────────────────────────────────────────────────────────────────────
  async group(name: string, options: GroupOptions = {}, store: Store<unknown> = this.store): Promise<void> {
    const { runningMax = 100, ...given } = options
    const declaration: GroupDeclaration = {
      name,
      topics: [paid],
      tags: {},
      from: 'oldest',
      subscriptionVersion: 1,
      ordered: false,
      onFailure: 'hold',
      ...given,
    }
    this.#groups.set(name, { declaration, runningMax })
    await store.declareGroup(declaration)
  }

  membership(group: string): ReaderMembership {
    const known = this.#groups.get(group)
    if (!known) return { reader: group, version: 1, queues: queuesOf([paid]), runningMax: 100 }
    return {
      reader: group,
      version: known.declaration.subscriptionVersion,
      queues: queuesOf(known.declaration.topics),
      runningMax: known.runningMax,
    }
  }

  async share(owner: OwnerId, group: string, store: Store<unknown> = this.store): Promise<Share> {
    const [share] = await store.share(owner, [this.membership(group)], leaseMs)
    assert.ok(share, `share answers for ${group}`)
    return share
  }

  /** The lease of the group's only queue, or of the one given. */
  async lease(group: string, owner: OwnerId = this.owner(), queue: Partial<QueueName> = {}): Promise<Lease> {
    const { leases } = await this.share(owner, group)
    const lease = leases.find(
      (held) => held.topic === (queue.topic ?? held.topic) && held.queue === (queue.queue ?? held.queue),
    )
    assert.ok(lease, `${owner} holds a lease of ${group}`)
    return lease
  }

  /** Declares a group and leases its queue. */
  async groupWithLease(name: string, options: GroupOptions = {}): Promise<Lease> {
    await this.group(name, options)
    return this.lease(name)
  }

  /** A lease that its owner thinks it has: it lapsed and another owner took over. */
  async zombie(lease: Lease): Promise<{ stale: Lease; current: Lease }> {
    await this.advance(leaseMs + 1)
    const current = await this.lease(lease.reader, this.owner(), lease)
    assert.notEqual(current.owner, lease.owner)
    return { stale: lease, current }
  }

  // ── consuming ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  async read(lease: Lease, after: number = lease.position, limit = 1_000): Promise<readonly ReadMessage[]> {
    return this.store.read(lease, after, limit)
  }

  async readIds(lease: Lease, after?: number, limit?: number): Promise<MessageId[]> {
    return idsOf(await this.read(lease, after, limit))
  }

  /** One effect transaction: claim, the effect of each id that was claimed, commit. Answers these ids. */
  async run(
    lease: Lease,
    messages: readonly LoggedMessage[],
    from: ClaimFrom = 'unclaimed',
  ): Promise<readonly MessageId[]> {
    return this.transaction(async (tx) => {
      const claimed = await this.store.claim(tx, lease, messages, from)
      for (const id of claimed) await this.subject.effects.add(tx, `${lease.reader}:${id}`)
      return claimed
    })
  }

  /** The same for a message that left the log's path: its key's next follower is freed with it. */
  async runRetried(lease: Lease, message: LoggedMessage): Promise<readonly MessageId[]> {
    return this.transaction(async (tx) => {
      const claimed = await this.store.claim(tx, lease, [message], 'retrying')
      for (const id of claimed) await this.subject.effects.add(tx, `${lease.reader}:${id}`)
      if (message.shardingKey !== null) await this.store.releaseFollower(tx, lease, message.shardingKey)
      return claimed
    })
  }

  settle(
    lease: Lease,
    message: LoggedMessage,
    settlement: Omit<Settlement, 'message' | 'attempts'> & { attempts?: number },
    advanceTo?: number,
  ): Promise<void> {
    return this.store.settle(lease, [{ message, attempts: 1, ...settlement }], advanceTo)
  }

  bury(lease: Lease, message: LoggedMessage, because = 'it said no'): Promise<void> {
    return this.settle(lease, message, { state: 'dead', cause: 'handler.dead-lettered', because })
  }

  /** Everything after the lease's position dies, with the cursor past it. */
  async buryAll(lease: Lease): Promise<void> {
    const messages = await this.read(lease)
    for (const message of messages) await this.bury(lease, message)
    await this.store.advance(lease, messages.at(-1)!.position)
  }

  async dueIds(lease: Lease, now: number = this.now): Promise<MessageId[]> {
    return idsOf(await this.store.due(lease, now, 1_000))
  }

  /** What became of messages, in their order; null where nothing did. */
  async statesOf(lease: Lease, ids: readonly MessageId[]): Promise<(string | null)[]> {
    const states = await this.store.dispositions(lease, ids)
    return ids.map((id) => states.get(id) ?? null)
  }

  /** The cursor, as whoever takes the lease next would see it. */
  async cursor(reader: string, queue = 0, topic = paid.name): Promise<number> {
    const lag = (await this.store.lag()).find(
      (one) => one.reader === reader && one.queue === queue && one.topic === topic,
    )
    assert.ok(lag, `${reader} has a cursor`)
    return lag.position
  }

  /** A batch of landing, as the relay of another database would bring it: positions 1, 2, 3, … of its queue 0. */
  landing(drafts: readonly Draft[], source = 'database:elsewhere', first = 1): LandingBatch {
    const messages = drafts.map((draft, i) => {
      const { dedupKey: _, ...envelope } = this.draft(draft)
      return { ...envelope, from: { source, queue: 0, position: first + i } }
    })
    return {
      messages,
      topics: [...this.#topics.values()],
      upTo: [{ source, queue: 0, position: first + drafts.length - 1, topic: paid.name }],
    }
  }
}

export function idsOf(messages: readonly { readonly id: MessageId }[]): MessageId[] {
  return messages.map(({ id }) => id)
}

export function queuesOf(topics: readonly TopicDeclaration[]): QueueName[] {
  return topics.flatMap(({ name, queues }) =>
    Array.from({ length: queues }, (_, queue) => ({ topic: name, queue })),
  )
}

/** The code of what a promise rejects with. */
export async function rejectsWith(code: ErrorCode, work: () => unknown): Promise<WaybillError> {
  let error: unknown
  try {
    await work()
  } catch (thrown) {
    error = thrown
  }
  if (error instanceof WaybillError && error.code === code) return error
  assert.fail(
    error === undefined
      ? `nothing was thrown instead of ${code}`
      : `${String(error)} was thrown instead of ${code}`,
  )
}

export function needsTimeTravel(claims: StoreClaims): string | undefined {
  return claims.timeTravel ? undefined : 'needs a clock that tests can move'
}
