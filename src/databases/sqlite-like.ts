import { createRequire } from 'node:module'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type {
  Row,
  SqlValue,
  SqliteConnection,
  SqliteDriver,
  SqliteStatement,
  SqliteTx,
} from '../stores/sqlite/driver.ts'
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

/** Makes up for what a library does otherwise. */
type Mend = (statement: SqliteStatement) => SqliteStatement

type Constructor = new (path: string, options: { readonly?: boolean; timeout?: number }) => LikeBetterSqlite3

/** The adapter for libraries with better-sqlite3's interface. The library is loaded when the database is opened, not before. */
export function sqliteLike(
  library: string,
  path: string,
  mended: Mend = (statement) => statement,
): Database<SqliteTx, 'sync'> {
  assertFile(path)
  return {
    mode: 'sync',
    dialect: 'sqlite',
    open: (ports, options) => openSqlite(driverOver(library, load(library), mended), path, ports, options),
  }
}

function load(library: string): Constructor {
  try {
    return createRequire(import.meta.url)(library) as Constructor
  } catch (cause) {
    throw new WaybillError(
      'store.driver-missing',
      `the package ${library} cannot be loaded; run: npm install ${library}`,
      { library },
      { cause },
    )
  }
}

function driverOver(library: string, Library: Constructor, mended: Mend): SqliteDriver {
  const resultCode = (error: unknown): number | undefined =>
    resultCodes[
      String((error as { code?: unknown } | null)?.code)
        .split('_', 2)
        .join('_')
    ]
  return {
    name: library,
    connect: (path, { readOnly, busyTimeoutMs }) => {
      try {
        return connectionOver(new Library(path, { readonly: readOnly, timeout: busyTimeoutMs }), mended)
      } catch (error) {
        // For a missing folder one throws a TypeError, the other an error without a code.
        if (resultCode(error) !== undefined) throw error
        throw new WaybillError(
          'store.io',
          `${path} cannot be opened; does its folder exist, and may this user write there?`,
          { path },
          { cause: error },
        )
      }
    },
    adopt: (handle) => (handle instanceof Library ? connectionOver(handle, mended) : undefined),
    resultCode,
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

function connectionOver(database: LikeBetterSqlite3, mended: Mend): SqliteConnection {
  const statements = new StatementCache((sql) => mended(database.prepare(sql)))
  return {
    all: (sql, ...params) => statements.of(sql).all(params.map(bindable)) as readonly Row[],
    lists: (sql, ...params) =>
      (statements.of(sql).all(params.map(bindable)) as readonly Row[]).map(Object.values<SqlValue>),
    run: (sql, ...params) =>
      Number((statements.of(sql).run(params.map(bindable)) as { changes: number }).changes),
    exec: (sql) => void database.exec(sql),
    prepare: (sql) => statements.of(sql),
    get isTransaction() {
      return database.inTransaction
    },
    close: () => void database.close(),
  }
}

/** better-sqlite3 takes bytes only as a Buffer. */
function bindable(value: SqlValue): SqlValue {
  return value instanceof Uint8Array && !Buffer.isBuffer(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value
}
