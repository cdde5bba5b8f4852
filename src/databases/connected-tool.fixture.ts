import type { Database } from '../core/database.ts'
import type { PostgresOptions } from '../stores/postgres/open.ts'

/** A tool on one PostgreSQL server, set up as its users do. */
export interface ConnectedTool<Tx> {
  database(options: PostgresOptions): Database<Tx, 'async'>
  /** Runs the user's own SQL on a transaction of the tool, in the tool's way. */
  run(tx: Tx, sql: string, params: readonly string[]): Promise<unknown>
  /** The tool's own way to a transaction. */
  transaction(work: (tx: Tx) => Promise<void>): Promise<unknown>
  /** What the tool has outside of a transaction: Waybill must refuse it. */
  readonly root: object
  close(): Promise<unknown>
}
