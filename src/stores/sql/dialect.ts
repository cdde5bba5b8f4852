import type { QueueName } from '../../core/store.ts'
import type { Sql } from './sql.ts'

/** Columns that have another name where theirs is a word of the language. */
export interface Names {
  readonly key: string
  readonly sequence: string
  readonly groups: string
  readonly until: string
  /** Null where the log keeps no hashes: they are worked out when somebody asks. */
  readonly bodyHash: string | null
}

export const plainNames: Names = {
  key: 'key',
  sequence: 'sequence',
  groups: 'groups',
  until: 'until',
  bodyHash: 'body_hash',
}

/** Columns of a JSON parameter, in the order of its lists. */
export type Columns = Readonly<Record<string, 'text' | 'integer' | 'bigint'>>

/** Where the servers want the same said in other words. Whole statements that differ stay with their store. */
export interface Dialect {
  readonly names: Names
  /** A JSON list of texts, for `in`. */
  readonly texts: string
  /** A JSON parameter, a list of lists, as rows of these columns and `ord`, which counts from 1. */
  rowsOf(columns: Columns): string
  /** A join that begins on the left, where such a JSON parameter stands. */
  readonly join: string
  /** Inserts `table (columns) values …`, except where the row is there already. */
  insertNew(into: string): string
  /** The same, but a row that is there takes these columns from the new one. */
  upsert(into: string, key: string, columns: readonly string[]): string
  /** Updates rows `t` of a table, each from the row `given` that belongs to it by the condition. Binds the given ones first. */
  updateFrom(rows: string, table: string, set: Readonly<Record<string, string>>, where: string): string
  /** Two declarations of one group take turns, and its removal: each sees what the other has stored. */
  lockGroup(group: string): Sql
  /** As `seq`: the first place of a queue whose message is eligible at a time or later. */
  firstSince(queue: QueueName, at: number): Sql
  /** As `n`: how many messages of a queue, after a place and up to another, the group has a disposition of. */
  settledWithin(queue: QueueName, after: number, upTo: number, group: string): Sql
}
