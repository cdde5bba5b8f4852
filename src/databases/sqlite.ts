import { DatabaseSync } from 'node:sqlite'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type { Row, SqlValue, SqliteConnection, SqliteDriver, SqliteTx } from '../stores/sqlite/driver.ts'
import { openSqlite } from '../stores/sqlite/open.ts'
import { StatementCache } from './statement-cache.ts'

export type { SqliteTx } from '../stores/sqlite/driver.ts'

/**
 * The embedded database: one SQLite file through Node's own `node:sqlite`, shared by any number of processes of one machine.
 * Waybill opens its own connections, in WAL with `synchronous=FULL`. `publish` takes your own `DatabaseSync` on the same file
 * while it is in a transaction, or the `tx` of `waybill.transaction` and handlers.
 *
 * @param path a file on a local disk; created if it is not there, its folder is not
 * @throws WaybillError `config.invalid` for ':memory:' and the empty path, which would survive nothing
 */
export function sqlite(path: string): Database<SqliteTx, 'sync'> {
  assertFile(path)
  return {
    mode: 'sync',
    dialect: 'sqlite',
    open: (ports, options) => openSqlite(driver, path, ports, options),
  }
}

export function assertFile(path: unknown): void {
  if (typeof path === 'string' && path !== '' && path !== ':memory:' && !path.startsWith('file:')) return
  throw new WaybillError(
    'config.invalid',
    `${JSON.stringify(path)} is no file path; messages must survive the process, so give a file such as 'order.db'`,
  )
}

const driver: SqliteDriver = {
  name: 'node:sqlite',
  connect: (path, { readOnly, busyTimeoutMs }) =>
    connectionOver(new DatabaseSync(path, { readOnly, timeout: busyTimeoutMs })),
  adopt: (handle) => (handle instanceof DatabaseSync ? connectionOver(handle) : undefined),
  resultCode: (error) => (error as { errcode?: number } | null)?.errcode,
}

function connectionOver(database: DatabaseSync): SqliteConnection {
  const statements = new StatementCache((sql) => database.prepare(sql))
  const listing = new StatementCache((sql) => {
    const statement = database.prepare(sql)
    // An object for each row, its names looked up anew, costs as much as reading the row.
    statement.setReturnArrays(true)
    return statement
  })
  return {
    all: (sql, ...params: readonly SqlValue[]) =>
      statements.of(sql).all(...params) as unknown as readonly Row[],
    lists: (sql, ...params) => listing.of(sql).all(...params) as unknown as readonly SqlValue[][],
    run: (sql, ...params: readonly SqlValue[]) => Number(statements.of(sql).run(...params).changes),
    exec: (sql) => database.exec(sql),
    prepare: (sql) => statements.of(sql),
    get isTransaction() {
      return database.isTransaction
    },
    close: () => database.close(),
  }
}
