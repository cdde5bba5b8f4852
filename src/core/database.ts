import type { MaybePromise } from './maybe-promise.ts'
import type { Ports } from './ports.ts'
import type { Store } from './store.ts'

/**
 * A database handle as the user passes it: `sqlite('order.db')`, later `pg(pool)`, `drizzle(db)` and others.
 * `Tx` is the tool's own transaction handle; `Mode` says whether statements on it answer at once.
 */
export interface Database<Tx, Mode extends 'sync' | 'async' = 'sync' | 'async'> {
  readonly mode: Mode
  readonly dialect: 'sqlite' | 'postgres' | 'mysql'
  /**
   * Opens the store. On SQLite also applies missing migrations unless `migrate` is 'check'.
   * @throws WaybillError `store.not-a-database`, `store.read-only`, `store.schema-too-new`, `store.schema-missing`, `store.unsafe-settings`
   */
  open(ports: Ports, options: OpenOptions): OpenDatabase<Tx>
}

export interface OpenOptions {
  readonly service: string
  readonly migrate: 'auto' | 'check'
}

/** What Waybill does with a user's database. The promises are tests in `conformance/database-suite.ts`. */
export interface OpenDatabase<Tx> {
  readonly store: Store<Tx>
  /**
   * Opens what opening could not wait for. Nothing to do on an embedded database; asked again after a failure.
   * @throws WaybillError what `Database.open` throws on an embedded one, and `store.io` for a server that is not there
   */
  ready(): Promise<void>
  /** The schema version that was found, and the one that the database has now; known once it is ready. */
  readonly schema: { readonly before: number; readonly now: number }
  /**
   * Asks the *handle* whether it is in a transaction, never the server (P32).
   * @throws WaybillError `publish.no-transaction`, or `publish.handle-unknown` for a handle that cannot answer
   */
  assertInTransaction(tx: Tx): void
  /**
   * One transaction: `opened` runs in it before the work's first statement, `closing` after the work and before COMMIT.
   * A throw from any stage rolls all of it back and rejects. On a synchronous handle the transaction begins with the first
   * statement, so that `work` may await other things before it; from then on, only what settles in the same event-loop turn,
   * else it is rolled back with `store.transaction-left-open`. `work` runs once: nothing here repeats it (P7). A COMMIT whose
   * outcome is open rejects with `store.commit-unknown`.
   */
  transaction<R>(stages: TransactionStages<Tx, R>): Promise<R>
  /**
   * Runs `work` once the transaction that Waybill opened and that `tx` belongs to has committed; never, if it rolls back.
   * @throws WaybillError `publish.after-commit-unsupported` for a transaction that Waybill did not open
   */
  afterCommit(tx: Tx, work: () => void | Promise<void>): void
  close(): Promise<void>
}

export interface TransactionStages<Tx, R> {
  opened?(tx: Tx): MaybePromise<void>
  work(tx: Tx): R | Promise<R>
  closing?(tx: Tx, result: R): MaybePromise<void>
}

/** Failures that are nobody's fault and pass by themselves: the work may be run again without charging an attempt (P7, P8). */
export const passingFailures = [
  'store.busy',
  'store.lease-lost',
  'store.io',
  'store.disk-full',
  'store.read-only',
  'store.commit-unknown',
] as const
