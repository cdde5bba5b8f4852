import type { PoolClient } from 'pg'
import type { ServiceName } from '../../scripts/services/index.ts'

/**
 * What each contestant does in its own way, at its best settings. Each works in databases of its own, on the same server, and all
 * send the same numbered orders.
 */
export interface Peer<Tx = PoolClient> {
  readonly name: string
  readonly label: string
  readonly service: ServiceName
  /** What was set, for whoever reads the figures. */
  readonly settings: Readonly<Record<string, unknown>>
  /** Installs what it needs in the database, unless it is there, and is ready to enqueue. */
  open(url: string, use: Use): Promise<OpenPeer<Tx>>
}

/**
 * How it is used: working off what was enqueued before; what is enqueued meanwhile; one message in one transaction; with the
 * least delay; or only enqueuing, in the user's own transactions.
 */
export type Use = 'drain' | 'endToEnd' | 'perMessage' | 'latency' | 'enqueue'

export interface OpenPeer<Tx = PoolClient> {
  /** One message, in the user's transaction. */
  enqueue(tx: Tx, number: number): Promise<void>
  /** Messages `from` to `from + count`, in one transaction of its own. */
  enqueueMany(from: number, count: number): Promise<void>
  /** Begins to work off messages. The handler does nothing but tell their numbers. */
  work(handled: (number: number) => void): Promise<Workers>
  /** Messages that are not recorded as done. */
  unfinished(): Promise<number>
  /** Deletes what is kept of messages that are done, as it would once they are old. */
  deleteDone?(): Promise<void>
  close(): Promise<void>
}

export interface Workers {
  /** Resolves once all that was handled so far is recorded as done, durably. */
  settled(): Promise<void>
  stop(): Promise<void>
}

/** One message in one transaction: so many at a time. */
export const perMessageConcurrency = 8
