import { createRequire } from 'node:module'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type { Row, SqlValue, SqliteConnection, SqliteDriver, SqliteStatement, SqliteTx } from '../stores/sqlite/driver.ts'
import { openSqlite } from '../stores/sqlite/open.ts'
import { assertFile } from './sqlite.ts'
import { StatementCache } from './statement-cache.ts'

/** better-sqlite3's interface, which libsql copies. */
interface LikeBetterSqlite3 {
  prepare(sql: string): SqliteStatement & { readonly reader?: boolean }
  exec(sql: string): unknown
  readonly inTransaction: boolean
  close(): unknown
}

type Constructor = new (path: string, options: { readonly?: boolean; timeout?: number }) => LikeBetterSqlite3

/** The adapter for libraries with better-sqlite3's interface. The library is loaded when the database is opened, not before. */
export function sqliteLike(library: string, path: string): Database<SqliteTx, 'sync'> {
  assertFile(path)
  return { mode: 'sync', dialect: 'sqlite', open: (ports, options) => openSqlite(driverOver(library, load(library)), path, ports, options) }
}

function load(library: string): Constructor {
  try {
    return createRequire(import.meta.url)(library) as Constructor
  } catch (cause) {
    throw new WaybillError('store.driver-missing', `the package ${library} cannot be loaded; run: npm install ${library}`, { library }, { cause })
  }
}

function driverOver(library: string, Library: Constructor): SqliteDriver {
  return {
    name: library,
    connect: (path, { readOnly, busyTimeoutMs }) => connectionOver(new Library(path, { readonly: readOnly, timeout: busyTimeoutMs }), busyTimeoutMs),
    adopt: (handle) => (handle instanceof Library ? connectionOver(handle) : undefined),
    resultCode: (error) => resultCodes[String((error as { code?: unknown } | null)?.code).split('_', 2).join('_')],
  }
}

const resultCodes: Readonly<Record<string, number>> = {
  SQLITE_BUSY: 5,
  SQLITE_LOCKED: 6,
  SQLITE_READONLY: 8,
  SQLITE_IOERR: 10,
  SQLITE_CORRUPT: 11,
  SQLITE_FULL: 13,
  SQLITE_CANTOPEN: 14,
  SQLITE_NOTADB: 26,
}

function connectionOver(database: LikeBetterSqlite3, busyTimeoutMs?: number): SqliteConnection {
  const statements = new StatementCache((sql) => database.prepare(sql))
  if (busyTimeoutMs !== undefined) database.prepare(`pragma busy_timeout = ${busyTimeoutMs}`).all()
  return {
    // Parameters as one array: libsql takes a lone Buffer or null for something else.
    all: (sql, ...params) => statements.of(sql).all(params.map(bindable)) as readonly Row[],
    run: (sql, ...params) => Number((statements.of(sql).run(params.map(bindable)) as { changes: number }).changes),
    exec: (sql) => void database.exec(sql),
    prepare: (sql) => statements.of(sql),
    get isTransaction() {
      return database.inTransaction
    },
    close: () => void database.close(),
  }
}

/** Both take bytes only as a Buffer; libsql ends the process on a plain Uint8Array. */
function bindable(value: SqlValue): SqlValue {
  return value instanceof Uint8Array && !Buffer.isBuffer(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value
}
