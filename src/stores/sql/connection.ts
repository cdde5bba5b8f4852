import type { Dialect } from './dialect.ts'
import type { SqlRow, SqlValue } from './sql.ts'

/**
 * A connection to a server, with the stores' way of writing SQL: `?` for parameters, `waybill_…` for whatever is Waybill's, and
 * `waybill_now()` for the server's clock.
 */
export interface SqlConnection {
  readonly dialect: Dialect
  all(sql: string, ...params: readonly SqlValue[]): Promise<readonly SqlRow[]>
  /** Answers the number of rows inserted or deleted, or of an UPDATE those that matched. */
  run(sql: string, ...params: readonly SqlValue[]): Promise<number>
}

/** How a part of the store that has a file of its own reaches the database. */
export interface SqlAccess<C extends SqlConnection> {
  /** One statement, of what is committed. */
  readonly read: C
  /** One READ COMMITTED transaction of its own: wholly done, or wholly undone. */
  write<R>(work: (connection: C) => Promise<R>): Promise<R>
  /** Several statements that see the same moment, and write nothing. Short: never held while anything else is waited for (P15). */
  snapshot<R>(work: (connection: C) => Promise<R>): Promise<R>
  readonly epoch: () => Promise<string>
}

/** Gives what is committed its place in the sequence of its queue. */
export interface SqlSequencing {
  /** Everything that was committed before the call. */
  all(): Promise<void>
}
