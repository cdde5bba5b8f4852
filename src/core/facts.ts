import type { BookStore } from './books.ts'
import type { DependencySight } from './dependencies.ts'
import type { Pause } from './groups.ts'
import type { DecidedBy, HalfState } from './half.ts'
import type { MessageId } from './ids.ts'
import type { SourcePosition } from './message.ts'
import type { State } from './state.ts'
import type { QueueName } from './lease.ts'

/** Which messages to tell about: by id or by business key. */
export type Asked = { readonly id: MessageId } | { readonly key: string }

/** What a database can tell for traces and for the books: a part of the store's contract. */
export interface FactStore {
  /** Everything known of the messages asked for, in one snapshot. Its cost does not grow with history or backlog. */
  of(asked: Asked): Promise<StoreFacts>
  readonly books: BookStore
}

/** Messages of one key that are told about, the newest. Facts say where there are more. */
export const messagesToldMax = 100
/** Waiting messages are counted up to here: counting a backlog of millions for a trace would make it wait. */
export const waitingCountMax = 10_000

/**
 * What one database knows, read in one snapshot. Every fact is a row that exists anyway, or one that was written with the
 * exception it reports; docs/reference/facts.md says which row proves which hop.
 */
export interface StoreFacts {
  readonly epoch: string
  /** The store's clock when this was read. */
  readonly now: number
  /** Nothing that was published before this need be here any more; null where nothing was ever purged. */
  readonly keptSince: number | null
  readonly messages: readonly MessageFacts[]
  /** Whether more messages have the key than are told about. */
  readonly more: boolean
  /** Whether what is published here is relayed. */
  readonly relays: boolean
  /** The cursors of the queues that those messages are in. */
  readonly readers: readonly ReaderFacts[]
  /** All groups that this database knows, for the topics of those messages and others. */
  readonly groups: readonly GroupFacts[]
  readonly dependencies: readonly DependencySight[]
  /** Up to where each source's queues have landed here. */
  readonly landed: readonly (SourcePosition & { readonly topic: string })[]
}

export interface MessageFacts extends QueueName {
  readonly id: MessageId
  readonly key: string | null
  readonly tag: string | null
  readonly shardingKey: string | null
  readonly service: string
  readonly publishedAt: number
  readonly eligibleAt: number
  /** Where it lies: in the log, only in copies of it, waiting for its time, as a half, or ended without ever entering the log. */
  readonly place: 'log' | 'copy' | 'delayed' | 'half' | 'ended'
  readonly position: number
  readonly source: SourcePosition | null
  readonly half: HalfFacts | null
  readonly ended: EndedFacts | null
  readonly relayed: RelayedFacts | null
  readonly suppressed: readonly SuppressedFacts[]
  readonly groups: readonly DispositionFacts[]
}

export interface HalfFacts {
  readonly state: HalfState
  readonly checks: number
  readonly failures: number
  /** When it is checked next; null once it is not checked any more. */
  readonly checkAt: number | null
  readonly decidedAt: number | null
  readonly decidedBy: DecidedBy | null
  readonly because: string | null
}

export interface EndedFacts {
  readonly state: 'cancelled' | 'rolled-back' | 'expired'
  readonly at: number
  readonly because: string | null
}

/** The batch that took it to the transport, with what the carrier answered. */
export interface RelayedFacts {
  readonly at: number
  readonly transport: string
  readonly proof: string
}

/** A copy that was recognised and had no effect. */
export interface SuppressedFacts {
  readonly cause: string
  readonly at: number
}

export interface DispositionFacts {
  readonly group: string
  readonly state: State
  readonly attempts: number
  readonly generation: number
  readonly dueAt: number | null
  readonly cause: string | null
  readonly because: string | null
  /** The dependency that its last failure was charged to. */
  readonly dependency: string | null
  readonly at: number | null
  /** Of a held message: the first of its key that is in the way. */
  readonly behind: { readonly id: MessageId; readonly state: State } | null
}

export interface ReaderFacts extends QueueName {
  readonly reader: string
  readonly position: number
  /** Where it began: what is not after this was never its to read. */
  readonly start: number
  /** Messages after its cursor, counted up to `waitingCountMax`. */
  readonly waiting: number
  /** Null where nobody holds the lease; its holder is dead where it has lapsed. */
  readonly owner: string | null
  readonly leaseUntil: number
  /** Of the relay: when it last sent something of this queue. */
  readonly sentAt: number | null
}

export interface GroupFacts {
  readonly name: string
  /** The epoch of the database that it consumes in: another one where this is the carrier's. */
  readonly database: string
  /** None known where it consumes in another database. */
  readonly topics: readonly string[]
  readonly ordered: boolean
  readonly paused: Pause | null
}
