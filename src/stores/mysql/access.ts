import type { MyConnection } from './connection.ts'

/** How a part of the store that has a file of its own reaches the database. */
export interface MyAccess {
  /** One statement, of what is committed. */
  readonly read: MyConnection
  /** One READ COMMITTED transaction of its own: wholly done, or wholly undone. */
  write<R>(work: (connection: MyConnection) => Promise<R>): Promise<R>
  /** Several statements that see the same moment, and write nothing. Short: never held while anything else is waited for (P15). */
  snapshot<R>(work: (connection: MyConnection) => Promise<R>): Promise<R>
  readonly epoch: () => Promise<string>
}
