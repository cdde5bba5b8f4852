import type { Database } from '../core/database.ts'
import type { SqliteTx } from '../stores/sqlite/driver.ts'
import { sqliteLike } from './sqlite-like.ts'

/**
 * One SQLite file through the package `libsql` (optional peer dependency, synchronous interface).
 * Like `sqlite(path)` in everything else; `publish` takes a `Database` of libsql that is in a transaction.
 *
 * @param path a file on a local disk
 * @throws WaybillError `config.invalid`; when opened: `store.driver-missing`
 */
export function libsql(path: string): Database<SqliteTx, 'sync'> {
  return sqliteLike('libsql', path)
}
