/** Values that cross the driver: nothing else binds alike in every SQLite library. */
export type SqlValue = string | number | null | Uint8Array
export type Row = Record<string, SqlValue>

/**
 * One connection, reduced to what the three SQLite libraries have in common. Prepared statements are kept by their text.
 * Parameters are plain `?`: better-sqlite3 takes `?1` for a name.
 */
export interface SqliteConnection {
  all(sql: string, ...params: readonly SqlValue[]): readonly Row[]
  /** Rows as plain lists, in the order of the columns: for the statements that every message goes through. */
  lists(sql: string, ...params: readonly SqlValue[]): readonly (readonly SqlValue[])[]
  /** Answers the number of rows changed. */
  run(sql: string, ...params: readonly SqlValue[]): number
  exec(sql: string): void
  /** A fresh statement for the user's own SQL. */
  prepare(sql: string): SqliteStatement
  readonly isTransaction: boolean
  close(): void
}

export interface SqliteDriver {
  readonly name: string
  connect(
    path: string,
    options: { readonly readOnly: boolean; readonly busyTimeoutMs: number },
  ): SqliteConnection
  /** The user's own handle as a connection; undefined if it is no handle of this library. */
  adopt(handle: object): SqliteConnection | undefined
  /** SQLite's primary result code of an error of this library, such as 13 for a full disk. */
  resultCode(error: unknown): number | undefined
}

/**
 * What handlers and `waybill.transaction` get as `tx`, and what `publish` takes: node:sqlite's `DatabaseSync`, libsql's and
 * better-sqlite3's `Database` fit as they are.
 */
export interface SqliteTx {
  prepare(sql: string): SqliteStatement
  exec(sql: string): unknown
}

export interface SqliteStatement {
  run(...params: any[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
  get(...params: any[]): any
  all(...params: any[]): any[]
  iterate(...params: any[]): Iterable<any>
}
