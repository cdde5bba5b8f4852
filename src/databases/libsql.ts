import type { Database } from '../core/database.ts'
import type { SqliteStatement, SqliteTx } from '../stores/sqlite/driver.ts'
import { sqliteLike } from './sqlite-like.ts'

/**
 * One SQLite file through the package `libsql` (optional peer dependency, synchronous interface).
 * Like `sqlite(path)` in everything else; `publish` takes a `Database` of libsql that is in a transaction.
 *
 * @param path a file on a local disk
 * @throws WaybillError `config.invalid`; when opened: `store.driver-missing`
 */
export function libsql(path: string): Database<SqliteTx, 'sync'> {
  return sqliteLike('libsql', path, mended)
}

/** libsql ends the process on a lone Uint8Array and on booleans, and answers bytes as an ArrayBuffer from `all` only. */
function mended(statement: SqliteStatement): SqliteStatement {
  const all = (...params: unknown[]): any[] => statement.all(...bindable(params)).map(withBuffers)
  return {
    run: (...params) => statement.run(...bindable(params)),
    get: (...params) => statement.get(...bindable(params)),
    all,
    iterate: (...params) => all(...params).values(),
  }
}

/** Positional parameters as one array, which it takes without harm; named ones as they are. */
function bindable(params: readonly unknown[]): unknown[] {
  const [first] = params
  const isNamed =
    params.length === 1 &&
    typeof first === 'object' &&
    first !== null &&
    !Array.isArray(first) &&
    !ArrayBuffer.isView(first)
  const values = isNamed ? Object.values(first) : params.flat()
  if (values.some((value) => typeof value === 'boolean')) {
    throw new TypeError('libsql cannot bind true or false; give 1 or 0')
  }
  return isNamed ? [first] : [values]
}

function withBuffers(row: unknown): unknown {
  if (typeof row !== 'object' || row === null) return row
  const columns = row as Record<string, unknown>
  for (const name in columns) {
    const value = columns[name]
    if (value instanceof ArrayBuffer) columns[name] = Buffer.from(value)
  }
  return row
}
