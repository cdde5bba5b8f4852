import type { RecordedPosition } from './epochs.ts'
import type { Envelope, SettledPosition, SourcePosition } from './message.ts'
import type { MessageId } from './ids.ts'
import type { Ports } from './ports.ts'
import type { StartPosition, Store, TopicDeclaration } from './store.ts'
import type { LogReading } from './log-reading.ts'

/**
 * A carrier between two logs. It carries and nothing else: retry, delay, order through failure, dead letters and trace live in
 * Waybill's tables, so that they behave alike on every broker. The promises are tests in `conformance/transport-suite.ts`.
 */
export interface Transport {
  readonly name: string
  readonly can: TransportCapabilities
  open(context: TransportContext): Promise<OpenTransport>
}

export interface OpenTransport {
  /** Only of a carrier that keeps itself up to where it has each log. If it is put back to an older state, it is sent again what it lost. */
  readonly positions?: CarrierPositions
  /**
   * Sends a batch in the order given and answers one outcome per message. `unknown` means that it may or may not have arrived:
   * it will be sent again with the same id. A rejected promise means `unknown` for the whole batch. Safe to call with messages
   * that were already sent.
   */
  send(batch: OutgoingBatch): Promise<readonly SendOutcome[]>
  /**
   * Declares what this service wants before anything is received, and where a new subscription starts (P26).
   * Throws `group.start-position-needed` if older messages exist and a group that is new to them does not say where it starts.
   */
  subscribe(subscription: Subscription): Promise<void>
  /**
   * Receives until the signal aborts. For each batch calls `land`, and acknowledges the source only after its promise resolved;
   * if it rejects, the batch is received again (P1, P2). Batches of one source queue are in order and do not overlap in time.
   */
  receive(land: (batch: IncomingBatch) => Promise<void>, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

export interface CarrierPositions {
  /** Up to where the carrier has a queue of a log; undefined if it has nothing of it. */
  sentUpTo(source: string, topic: string, queue: number): Promise<RecordedPosition | undefined>
  /** Throws `store.landing-gap` where what it builds on is not recorded. */
  record(at: SettledPosition): Promise<void>
}

export interface TransportCapabilities {
  /** Messages of one queue arrive in the order in which their sends were answered. */
  readonly keepsOrder: boolean
  /** Sending a message again, after an unknown outcome, cannot put it behind a later one of its key. */
  readonly ordersRetries: boolean
  /** An answered send survives a crash of the carrier. */
  readonly durable: boolean
  /** Messages can be read again from an older position. */
  readonly rewinds: boolean
}

export interface TransportContext {
  readonly ports: Ports
  readonly service: string
  readonly leaseMs: number
  /** For carriers that are themselves a log. */
  readonly logReading: LogReading
  /** Drops what is older than the retention and passed by every reader, now and then, until the answer is called. */
  upkeep(store: Store<never>): () => void
}

export interface OutgoingBatch {
  readonly messages: readonly (Envelope & { readonly from: SourcePosition })[]
  readonly topics: readonly TopicDeclaration[]
  /** For a carrier that keeps positions: what is settled once all of the batch is sent or refused. */
  readonly upTo?: SettledPosition | undefined
}

export type SendOutcome =
  | { readonly outcome: 'sent'; readonly proof: string }
  | { readonly outcome: 'refused'; readonly because: string }
  | { readonly outcome: 'unknown'; readonly because: string }

export interface Subscription {
  /** Up to where a source's queue has landed in the effects' database: the position that counts (P13). Undefined if never. */
  landedUpTo(source: string, topic: string, queue: number): Promise<RecordedPosition | undefined>
  readonly databaseId: string
  readonly topics: readonly (TopicDeclaration & {
    readonly from: StartPosition | undefined
    readonly groups: readonly string[]
  })[]
}

export interface IncomingBatch {
  readonly messages: readonly (Envelope & { readonly from: SourcePosition })[]
  /** The position that is settled once the batch has landed, per source queue. */
  readonly upTo: readonly SettledPosition[]
}

/** The ids of a batch, for a log line or an error. */
export function idsOf(batch: { readonly messages: readonly Envelope[] }): readonly MessageId[] {
  return batch.messages.map((message) => message.id)
}
