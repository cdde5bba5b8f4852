import type { AuditNote, DeadLetter, DeadLetterFilter, DeadLetterKey } from './dead-letter.ts'
import type { DelayedStore } from './delayed.ts'
import type { DependencyStore } from './dependencies.ts'
import type { EpochStore, RecordedPosition } from './epochs.ts'
import type { FactStore } from './facts.ts'
import type { GroupStore, StartPosition } from './groups.ts'
import type { HalfStore } from './half.ts'
import type { ErrorCode } from './errors.ts'
import type { MessageId, OwnerId } from './ids.ts'
import type { Lease, Outlook, QueueName, TopicDeclaration } from './lease.ts'
import type {
  Envelope,
  LoggedMessage,
  PublishedEnvelope,
  SettledPosition,
  SourcePosition,
} from './message.ts'
import type { MaybePromise } from './maybe-promise.ts'
import type { RedriveStore } from './redrive.ts'
import type { DispositionState, State } from './state.ts'

export type { AuditNote, DeadLetter, DeadLetterFilter, DeadLetterKey } from './dead-letter.ts'
export type { StartPosition } from './groups.ts'
export type { Lease, Outlook, QueueName, TopicDeclaration } from './lease.ts'

/**
 * What a database must do for Waybill: keep the log, its readers' cursors and leases, and what became of each message.
 *
 * Every promise in these comments is a test in `conformance/store-suite.ts`. Words:
 * - A *reader* is a consumer group's name, or `@relay` or `@land:<service>/<topic>`. Each reader has one cursor and one lease per queue.
 * - A method that takes `tx` works inside that transaction and answers at once where the handle is synchronous. All others are
 *   one transaction of their own: wholly done when they resolve, wholly undone when they reject.
 * - A method that writes under a `Lease` throws `store.lease-lost` and changes nothing if the lease's fence is stale (P16).
 */
export interface Store<Tx> {
  readonly can: StoreCapabilities

  // ── publishing ────────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Appends messages in the caller's transaction, in one statement; those whose `eligibleAt` is to come are kept back until then. They are in the log if and only if it commits.
   * A message whose dedup key is taken is not appended; the answer carries the first one's id (P27).
   * Throws `topic.queues-differ` if the topic exists with another number of queues (P19).
   */
  append(
    tx: Tx,
    messages: readonly PublishedEnvelope[],
    topics: readonly TopicDeclaration[],
  ): MaybePromise<readonly Appended[]>

  // ── topics and groups ─────────────────────────────────────────────────────────────────────────────────────────────────
  /** Creates the topics that are not there. Throws `topic.queues-differ`. */
  declareTopics(topics: readonly TopicDeclaration[]): Promise<void>
  /**
   * Creates or checks a consumer group and its cursors, idempotently (P26). `from` counts only for cursors that do not exist yet.
   * Throws `group.start-position-needed`, `group.subscription-differs`, `group.other-database`, `topic.queues-differ`.
   */
  declareGroup(group: GroupDeclaration): Promise<void>
  /** Records which database consumes a group. Throws `group.other-database` if another one does (P26). */
  registerGroups(groups: readonly string[], databaseId: string): Promise<void>
  /** Creates a reader's cursors where they do not exist yet, without a group (relay, land). Throws `topic.queues-differ`. */
  declareReader(reader: string, topics: readonly TopicDeclaration[], from: StartPosition): Promise<void>
  /** How many messages of these topics a new reader that starts at the oldest would get; 0 for topics it already reads. */
  countOlder(reader: string, topics: readonly string[]): Promise<number>
  /** The topics that the log knows. */
  topics(): Promise<readonly TopicDeclaration[]>

  // ── leases ────────────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * One heartbeat: announces this owner for each reader, renews what it holds, and takes free or lapsed queues up to its fair
   * share (queues ÷ live owners of the newest version). Answers all leases held now, and per reader how many are too many.
   * A queue is never held by two owners at once; each take-over raises the fence.
   */
  share(owner: OwnerId, readers: readonly ReaderMembership[], leaseMs: number): Promise<readonly Share[]>
  /** Whether a heartbeat now would tell news: a queue to win (free, lapsed, or a grown share), or some to hand over. A read. */
  hasOpening(owner: OwnerId, readers: readonly ReaderMembership[]): Promise<boolean>
  /** Gives leases back at once, so that others need not wait for them to lapse. Stale ones are ignored. */
  release(leases: readonly Lease[]): Promise<void>
  /** Ends the owner's membership: the others' fair share grows at once. */
  leave(owner: OwnerId): Promise<void>

  /** What there is to look at besides the log in the queues that the owner holds; one that is left out has nothing. A read. */
  outlook(owner: OwnerId): Promise<readonly Outlook[]>

  // ── reading the log ───────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Up to `limit` messages of the lease's queue after `after`, in commit order. Never skips a committed message, never shows an
   * uncommitted one. For a group each comes with its disposition, if any, and whether its sharding key is blocked.
   */
  read(lease: Lease, after: number, limit: number): Promise<readonly ReadMessage[]>
  /** The next message's position and id only, without loading its body (P17). */
  peek(lease: Lease, after: number): Promise<{ position: number; id: MessageId } | undefined>
  /** Moves the cursor forward, and for a relay records what was sent and the carrier's proof (trace). Never moves it back. */
  advance(lease: Lease, position: number, relayed?: RelayedBatch): Promise<void>

  // ── consuming ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Inserts the receipts (`done`) in the effect transaction, before the handler's first statement (P3). Answers the ids that were
   * free or in `from`; only these may take effect. Throws `store.lease-lost`.
   */
  claim(
    tx: Tx,
    lease: Lease,
    messages: readonly LoggedMessage[],
    from: ClaimFrom,
  ): MaybePromise<readonly MessageId[]>
  /** In the effect transaction: turns a receipt just claimed into `discarded` with a reason (P7). */
  markDiscarded(tx: Tx, lease: Lease, id: MessageId, because: string): MaybePromise<void>
  /** In the effect transaction: moves the cursor. Saves a transaction per batch. */
  advanceIn(tx: Tx, lease: Lease, position: number): MaybePromise<void>
  /** In the effect transaction of a message that had left the log's path: frees the next follower of its key (P21). */
  releaseFollower(tx: Tx, lease: Lease, shardingKey: string): MaybePromise<void>
  /**
   * Records what became of messages without an effect, and moves the cursor, in one transaction. A `held` message whose key is
   * no longer blocked becomes due at once instead, or nobody would ever release it.
   */
  settle(lease: Lease, settlements: readonly Settlement[], advanceTo?: number): Promise<void>
  /** Dispositions of these messages in the lease's group. */
  dispositions(lease: Lease, ids: readonly MessageId[]): Promise<ReadonlyMap<MessageId, DispositionState>>
  /**
   * Of messages whose claim met a disposition: parks those that have another body than the one it is for, as landing does with what
   * meets its first in the log (P4). Answers their ids.
   */
  parkCollisions(lease: Lease, messages: readonly LoggedMessage[]): Promise<readonly MessageId[]>
  /** Messages of the lease's queue that left the log's path and are due, oldest due first, with their stored copies. */
  due(lease: Lease, now: number, limit: number): Promise<readonly DueMessage[]>
  /**
   * Before running a suspect alone (P17): marks it `running`. Answers how often it was found already so marked, which means that
   * the process died while running only this message. With `alone` false other handlers run beside it, and a crash will not count.
   */
  markRunning(lease: Lease, message: { id: MessageId; position: number }, alone: boolean): Promise<number>
  /**
   * Takes back what the mark of `markRunning` would count if it is found again: its run ended without the process dying, or is no
   * longer alone. Once per mark that was made alone. What is no longer running is left as it is.
   */
  excuse(lease: Lease, id: MessageId): Promise<void>
  /** One message from the log by its position, for a suspect. */
  load(lease: Lease, position: number): Promise<ReadMessage | undefined>

  // ── landing ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Appends what came from elsewhere, in the order given, in one transaction with the source position (P1, P13). A message whose
   * id is already in the log is suppressed; one with the same id and another body is dead-lettered (P4).
   * Throws `store.landing-gap`, and changes nothing, where what a position builds on is not recorded here (any more).
   */
  land(batch: LandingBatch): Promise<readonly LandedAs[]>
  /** The source position up to which a queue of a source has landed here; undefined if nothing of it ever did. */
  landedUpTo(source: string, topic: string, queue: number): Promise<RecordedPosition | undefined>

  // ── dead letters, search ──────────────────────────────────────────────────────────────────────────────────────────────
  deadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetter[]>
  /** Makes dead letters due again at once, or held where an earlier one of their key is in the way (P21). Answers how many; audited. */
  redrive(selection: readonly DeadLetterKey[], by: AuditNote): Promise<number>
  /** Gives dead letters up on purpose and frees their followers. Answers how many; audited. */
  discardDead(selection: readonly DeadLetterKey[], by: AuditNote): Promise<number>
  /**
   * Messages by id, key, topic, group, state and time, newest first; each with its state in every group. Indexed: its cost does
   * not grow with history or backlog. Where more fit than the limit, a state is answered with those that got there last.
   */
  search(query: SearchQuery): Promise<readonly Found[]>
  /** Per group and queue: how far the cursor is behind the log's end. */
  lag(): Promise<readonly QueueLag[]>

  // ── parts of their own ────────────────────────────────────────────────────────────────────────────────────────────────
  readonly delayed: DelayedStore<Tx>
  readonly halves: HalfStore<Tx>
  readonly groups: GroupStore
  readonly redrives: RedriveStore
  readonly dependencies: DependencyStore
  readonly facts: FactStore
  readonly epochs: EpochStore

  // ── upkeep ────────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** This database's id: the same for as long as it lives, and in whatever is restored from a copy of it (P26). */
  epoch(): Promise<string>
  /**
   * Drops messages and records that are older than `before` and that every reader has passed, and receipts of dropped messages that are
   * older than `receiptsBefore` (a day before `before`, if left out). A message whose receipts may go with it leaves nothing behind.
   * In portions, so that writers need not wait long: answers how many messages it dropped, and 0 once there are no more.
   */
  purge(before: number, receiptsBefore?: number): Promise<number>
  /** Calls back after somebody, in any process, may have changed the log. May call too often; rarely too seldom, hence polls too. */
  watch(changed: () => void): () => void
}

/** Receipts are kept this much longer than what they are about: they are judged by another clock than a message's `eligibleAt` (P6). */
export const receiptMarginMs = 24 * 3_600_000

export interface StoreCapabilities {
  /** Which clock leases follow. */
  readonly clock: 'database' | 'host'
  /** Whether `watch` hears other processes, or only polling does. */
  readonly wakeUps: 'watch' | 'notify' | 'poll'
  /** Whether several processes may use it at once. */
  readonly sharedByProcesses: boolean
}

export interface GroupDeclaration {
  readonly name: string
  readonly topics: readonly TopicDeclaration[]
  /** Tag filter per topic, for the record: the filter itself runs in the consumer. */
  readonly tags: Readonly<Record<string, string>>
  readonly from: StartPosition | undefined
  /** Raised by the user when topics or tags change; only instances of the newest take leases (P26). */
  readonly subscriptionVersion: number
  readonly ordered: boolean
  readonly onFailure: 'hold' | 'skip'
}

export interface Appended {
  readonly id: MessageId
  /** True where a dedup key was taken: nothing was appended, and `id` is the first publish's. */
  readonly duplicate: boolean
}

export interface ReaderMembership {
  readonly reader: string
  readonly version: number
  readonly queues: readonly QueueName[]
  /** How many messages of a queue may be running at a time, in the order of the log: what a successor must suspect after a crash (P17). */
  readonly runningMax: number
}

export interface Share {
  readonly reader: string
  readonly leases: readonly Lease[]
  /** How many of them are above the fair share and should be handed over once idle. */
  readonly surplus: number
}

export interface ReadMessage extends LoggedMessage {
  readonly disposition: DispositionState | null
  /** Ordered groups: an earlier message of the key, in this topic, is running alone, retrying, held or dead. */
  readonly blocked: boolean
}

export interface DueMessage extends LoggedMessage {
  readonly disposition: 'retrying' | 'running'
  /** Deliveries that failed so far. */
  readonly attempts: number
  readonly dueAt: number
}

export type ClaimFrom = 'unclaimed' | 'running' | 'retrying'

/** What became of a message without an effect. */
export interface Settlement {
  readonly message: LoggedMessage
  /** `done` only for carriers, whose effect is outside this database: the message was sent. */
  readonly state: 'retrying' | 'held' | 'dead' | 'discarded' | 'filtered' | 'done'
  readonly attempts: number
  /** For `retrying`. */
  readonly dueAt?: number
  /** A stable code. */
  readonly cause?: ErrorCode
  /** Why, in words; from the handler or the error. */
  readonly because?: string
  /** The dependency that failed; kept with a dead letter, so that its recovery can redrive it. */
  readonly dependency?: string
  /** For `dead` in ordered groups with `onFailure: 'skip'`, and for heads given up: frees the key's next follower. */
  readonly releaseFollower?: boolean
}

export interface RelayedBatch {
  readonly transport: string
  readonly from: number
  readonly count: number
  /** What the carrier answered, for the trace. */
  readonly proof: string
}

export interface LandingBatch {
  readonly messages: readonly (Envelope & { readonly from: SourcePosition })[]
  readonly topics: readonly TopicDeclaration[]
  /** The highest source position per queue that is settled by this batch. */
  readonly upTo: readonly SettledPosition[]
}

export type LandedAs = 'landed' | 'duplicate' | 'collision'

export interface SearchQuery {
  readonly id?: MessageId
  readonly key?: string
  readonly topic?: string
  readonly group?: string
  readonly state?: State
  readonly since?: Date
  readonly until?: Date
  /** Default 100, at most 1000. */
  readonly limit?: number
}

export interface Found {
  readonly id: MessageId
  readonly topic: string
  readonly tag: string | null
  readonly key: string | null
  readonly shardingKey: string | null
  readonly service: string
  readonly publishedAt: number
  readonly queue: number
  readonly position: number
  readonly source: SourcePosition | null
  readonly groups: readonly {
    readonly group: string
    readonly state: State
    readonly attempts: number
    readonly dueAt: number | null
    readonly cause: string | null
    readonly because: string | null
    readonly at: number | null
  }[]
}

export interface QueueLag extends QueueName {
  readonly reader: string
  readonly position: number
  readonly end: number
  /** Messages after the cursor. */
  readonly waiting: number
  readonly owner: string | null
}
