import type { Knex } from 'knex'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { openMysql } from '../stores/mysql/open.ts'
import { openPostgres } from '../stores/postgres/open.ts'
import { KnexMysqlDriver } from './knex-mysql.ts'
import { KnexPostgresDriver } from './knex-postgres.ts'
import type { ToolOptions } from './tool-options.ts'

export type { ToolOptions } from './tool-options.ts'

/**
 * PostgreSQL 14 or later through Knex with the client `pg`, MySQL 8.4 or later and MariaDB 10.6 or later with the client `mysql2`.
 * `publish` takes the `trx` of `knex.transaction`; handlers and `waybill.transaction` give you one of that kind.
 *
 * @param db yours: Waybill takes connections from its pool and never destroys it. Leave it room for one connection per running handler and three more
 * @throws WaybillError `config.invalid` for a Knex of another database
 */
export function knex(db: Knex, options: ToolOptions = {}): Database<Knex.Transaction, 'async'> {
  const { client } = db.client.config as { readonly client?: unknown }
  if (/^(?:pg|postgres|postgresql)$/.test(String(client)))
    return {
      mode: 'async',
      dialect: 'postgres',
      open: (ports, open) => openPostgres(new KnexPostgresDriver(db, ports), options, ports, open),
    }
  if (client === 'mysql2')
    return {
      mode: 'async',
      dialect: 'mysql',
      open: (ports, open) => openMysql(new KnexMysqlDriver(db), options, ports, open),
    }
  throw new WaybillError('config.invalid', `this Knex is of the client ${String(client)}, not pg or mysql2`)
}
