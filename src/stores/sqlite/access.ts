import type { SqliteConnection } from './driver.ts'

/** How a part of the store that has a file of its own reaches the database. */
export interface SqliteAccess {
  /** One snapshot, of what is committed. Errors come out coded. */
  read<R>(work: (connection: SqliteConnection) => R): R
  /** One transaction of its own: wholly done, or wholly undone. */
  write<R>(work: (connection: SqliteConnection) => R): Promise<R>
  now(): number
  readonly epoch: string
}
