import { DatabaseSync } from 'node:sqlite'
import BetterSqlite3 from 'better-sqlite3'
import Libsql from 'libsql'
import type { Database } from '../core/database.ts'
import { reasonOf } from '../core/errors.ts'
import { betterSqlite3 } from '../databases/better-sqlite3.ts'
import { libsql } from '../databases/libsql.ts'
import { sqlite } from '../databases/sqlite.ts'
import type { SqliteTx } from '../stores/sqlite/driver.ts'

export type RawSqlite = SqliteTx & { close(): unknown }

export interface SqliteLibrary {
  readonly name: string
  readonly at: (path: string) => Database<SqliteTx, 'sync'>
  /** By which module and name a process of its own imports it. */
  readonly source: readonly [module: string, name: string]
  /** The library's own handle, as users open it. */
  readonly raw: (path: string) => RawSqlite
  /** Why it cannot be tested on this machine. */
  readonly skip?: string
}

/** The libraries that Waybill runs over. Two of them are native and may lack a build for this machine. */
export const sqliteLibraries: readonly SqliteLibrary[] = [
  library('node:sqlite', sqlite, 'sqlite', (path) => new DatabaseSync(path)),
  library('libsql', libsql, 'libsql', (path) => new Libsql(path) as unknown as RawSqlite),
  library('better-sqlite3', betterSqlite3, 'betterSqlite3', (path) => new BetterSqlite3(path)),
]

function library(
  name: string,
  at: SqliteLibrary['at'],
  exported: string,
  raw: SqliteLibrary['raw'],
): SqliteLibrary {
  const module = new URL(`../databases/${name.replace('node:', '')}.ts`, import.meta.url).href
  const found = { name, at, source: [module, exported], raw } as const
  try {
    raw(':memory:').close()
    return found
  } catch (error) {
    return { ...found, skip: `${name} does not load here: ${reasonOf(error)}` }
  }
}
