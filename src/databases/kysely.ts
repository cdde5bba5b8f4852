import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { openMysql } from '../stores/mysql/open.ts'
import { openPostgres } from '../stores/postgres/open.ts'
import { KyselyMysqlDriver } from './kysely-mysql.ts'
import { KyselyPostgresDriver } from './kysely-postgres.ts'
import { type ToolOptions, requireSchema } from './tool-options.ts'

export type { ToolOptions } from './tool-options.ts'

/**
 * PostgreSQL 14 or later through Kysely with its PostgresDialect, MySQL 8.4 or later and MariaDB 10.6 or later with its MysqlDialect over
 * `mysql2`. `publish` takes the `trx` of `db.transaction()` or `db.startTransaction()`; handlers and `waybill.transaction` give you one of
 * that kind. Kysely does not show the pool that it was made with, so that readers in other processes are not told of new messages, and find
 * them by polling.
 *
 * @param db yours: Waybill takes connections from it and never destroys it. Leave it room for one connection per running handler and three more
 * @param options.schema on MySQL and MariaDB it must be given: Kysely does not show which database its connections are in
 * @throws WaybillError `config.invalid` for a Kysely of another database
 */
export function kysely<Tables>(
  db: Kysely<Tables>,
  options: ToolOptions = {},
): Database<Transaction<Tables>, 'async'> {
  const adapter = db.getExecutor().adapter.constructor.name
  if (adapter === 'PostgresAdapter')
    return {
      mode: 'async',
      dialect: 'postgres',
      open: (ports, open) => openPostgres(new KyselyPostgresDriver(db), options, ports, open),
    }
  if (adapter === 'MysqlAdapter') {
    requireSchema('kysely(db, …)', options)
    return {
      mode: 'async',
      dialect: 'mysql',
      open: (ports, open) => openMysql(new KyselyMysqlDriver(db), options, ports, open),
    }
  }
  throw new WaybillError(
    'config.invalid',
    'this Kysely is made neither with PostgresDialect nor with MysqlDialect',
  )
}
