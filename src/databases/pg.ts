import type { Pool, PoolClient } from 'pg'
import type { Database } from '../core/database.ts'
import { type PostgresOptions, openPostgres } from '../stores/postgres/open.ts'
import { PgPoolDriver, asPgPool } from './pg-pool.ts'

export type { PostgresOptions } from '../stores/postgres/open.ts'

/**
 * PostgreSQL 14 or later through the package `pg`. `publish` takes the `PoolClient` that your business change is written with, in a
 * transaction; handlers and `waybill.transaction` give you one of the pool's.
 *
 * @param pool yours: Waybill takes connections from it and never ends it. Leave it room for one connection per running handler and three more
 * @param options.schema where Waybill's tables are; default 'public'
 */
export function pg(pool: Pool, options: PostgresOptions = {}): Database<PoolClient, 'async'> {
  return {
    mode: 'async',
    dialect: 'postgres',
    open: (ports, open) => openPostgres(new PgPoolDriver(asPgPool(pool), ports), options, ports, open),
  }
}
