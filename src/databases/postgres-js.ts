import type { Sql, TransactionSql } from 'postgres'
import type { Database } from '../core/database.ts'
import { type PostgresOptions, openPostgres } from '../stores/postgres/open.ts'
import { PostgresJsDriver } from './postgres-js-driver.ts'

export type { PostgresOptions } from '../stores/postgres/open.ts'

/**
 * PostgreSQL 14 or later through the package `postgres`. `publish` takes the `sql` that `sql.begin` hands to your callback; handlers and
 * `waybill.transaction` give you one of that kind.
 *
 * @param sql yours: Waybill takes connections from it and never ends it. Leave it room for one connection per running handler and three more
 * @param options.schema where Waybill's tables are; default 'public'
 */
export function postgresJs<Types extends Record<string, unknown> = {}>(
  sql: Sql<Types>,
  options: PostgresOptions = {},
): Database<TransactionSql<Types>, 'async'> {
  return {
    mode: 'async',
    dialect: 'postgres',
    open: (ports, open) => {
      const driver = new PostgresJsDriver<TransactionSql<Types>>(sql as unknown as Sql, ports)
      return openPostgres(driver, options, ports, open)
    },
  }
}
