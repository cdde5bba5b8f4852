import type { Database } from '../core/database.ts'
import type { SqliteTx } from '../stores/sqlite/driver.ts'
import { sqliteLike } from './sqlite-like.ts'

/**
 * One SQLite file through the package `better-sqlite3` (optional peer dependency; needs its native build).
 * Like `sqlite(path)` in everything else; `publish` takes a `Database` of better-sqlite3 that is in a transaction.
 *
 * @param path a file on a local disk
 * @throws WaybillError `config.invalid`; when opened: `store.driver-missing`
 */
export function betterSqlite3(path: string): Database<SqliteTx, 'sync'> {
  return sqliteLike('better-sqlite3', path)
}
