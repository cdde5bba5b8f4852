import type { DelayedKey, DelayedStore } from '../../core/delayed.ts'
import type { FactStore } from '../../core/facts.ts'
import type { HalfStore } from '../../core/half.ts'
import type { MessageId, OwnerId } from '../../core/ids.ts'
import type { LoggedMessage, PublishedEnvelope } from '../../core/message.ts'
import type {
  Appended,
  ClaimFrom,
  Lease,
  Outlook,
  RelayedBatch,
  Settlement,
  Store,
  TopicDeclaration,
} from '../../core/store.ts'
import type { SqlConnection, SqlSequencing } from './connection.ts'
import type { Dispositions } from './dead-letters.ts'
import type { GroupOrder } from './group-rules.ts'
import type { HalfVerdict } from './half-rows.ts'

/** A method of the store's contract, on a connection: in the transaction that it is in, or as a statement of its own. */
type On<C, Method extends keyof Whole> = (
  connection: C,
  ...args: Parameters<Whole[Method]>
) => ReturnType<Whole[Method]>
type Whole = Pick<Store<never>, 'land' | 'hasOpening' | 'release' | 'peek' | 'due' | 'markRunning' | 'excuse'>

/** What each server does in its own way, behind one `SqlStore`. */
export interface Server<C extends SqlConnection> extends Pick<Store<never>, 'can' | 'lag' | 'search'> {
  readonly sequencing: SqlSequencing
  readonly topics: SqlTopics<C>
  readonly leases: SqlLeases<C>
  readonly log: SqlLog<C>
  readonly dispositions: SqlDispositions<C>
  readonly facts: FactStore
  append(
    connection: C,
    messages: readonly PublishedEnvelope[],
    topics: readonly TopicDeclaration[],
    now: number,
  ): Promise<readonly Appended[]>
  takeDedupKeys(
    connection: C,
    messages: readonly PublishedEnvelope[],
  ): Promise<ReadonlyMap<string, MessageId>>
  readonly share: Store<never>['share']
  /** Undefined where it comes with nothing that is asked for anyway. */
  outlook?(owner: OwnerId): Promise<readonly Outlook[] | undefined> | undefined
  readonly land: On<C, 'land'>
  collisionsOf(
    connection: C,
    group: string,
    messages: readonly LoggedMessage[],
  ): Promise<readonly LoggedMessage[]>
  parkLogged(connection: C, message: LoggedMessage): Promise<void>
  purge(before: number, receiptsBefore: number): Promise<number>
  readonly moveDue: DelayedStore<never>['moveDue']
  cancelDelayed(connection: C, which: DelayedKey, because: string): Promise<readonly MessageId[]>
  decideHalf(connection: C, verdict: HalfVerdict): Promise<void>
  readonly takeChecks: HalfStore<never>['takeChecks']
}

/** The topics and their queue counts (P19). */
export interface SqlTopics<C> {
  /** Whether all of them are known to be there as declared. Throws `topic.queues-differ`. */
  areKnown(topics: readonly TopicDeclaration[]): boolean
  /** Makes sure that the topic exists, in the caller's transaction. */
  ensure(connection: C, topic: TopicDeclaration): Promise<void>
  list(): Promise<readonly TopicDeclaration[]>
}

export interface SqlLeases<C> {
  readonly hasOpening: On<C, 'hasOpening'>
  readonly release: On<C, 'release'>
  assertFence(connection: C, lease: Lease): Promise<void>
  /** Heartbeats of one reader take turns. */
  lockMembers(connection: C, reader: string): Promise<void>
}

export interface SqlLog<C> {
  read(
    connection: C,
    lease: Lease,
    after: number,
    limit: number,
    order: GroupOrder,
  ): ReturnType<Store<never>['read']>
  readonly peek: On<C, 'peek'>
  advance(connection: C, lease: Lease, position: number): Promise<void>
  /** A transaction of its own. */
  advanceRelayed(lease: Lease, position: number, relayed: RelayedBatch): Promise<void>
}

export interface SqlDispositions<C extends SqlConnection> extends Dispositions<C> {
  claim(
    connection: C,
    lease: Lease,
    messages: readonly LoggedMessage[],
    from: ClaimFrom,
  ): Promise<readonly MessageId[]>
  markDiscarded(connection: C, lease: Lease, id: MessageId, because: string): Promise<void>
  settle(connection: C, lease: Lease, settlements: readonly Settlement[], order: GroupOrder): Promise<void>
  dispositions(
    connection: C,
    group: string,
    ids: readonly MessageId[],
  ): ReturnType<Store<never>['dispositions']>
  readonly due: On<C, 'due'>
  readonly markRunning: On<C, 'markRunning'>
  readonly excuse: On<C, 'excuse'>
}
