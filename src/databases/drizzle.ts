import type { Pool as MysqlPool } from 'mysql2/promise'
import type { Pool } from 'pg'
import type { Sql } from 'postgres'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { openMysql } from '../stores/mysql/open.ts'
import { openPostgres } from '../stores/postgres/open.ts'
import { overMysql2 } from './drizzle-mysql.ts'
import { overPg, overPostgresJs } from './drizzle-postgres.ts'
import type { DrizzleLike } from './drizzle-session.ts'
import { followPool } from './mysql2-status.ts'
import type { ToolOptions } from './tool-options.ts'

export type { DrizzleLike } from './drizzle-session.ts'
export type { ToolOptions } from './tool-options.ts'

/**
 * PostgreSQL 14 or later through Drizzle on `pg` or on `postgres`, MySQL 8.4 or later and MariaDB 10.6 or later through Drizzle on
 * `mysql2`. `publish` takes the `tx` that `db.transaction` hands to your callback; handlers and `waybill.transaction` give you one of that
 * kind.
 *
 * @param db yours, made over a pool: Waybill takes connections from it and never ends it
 * @throws WaybillError `config.invalid` for a Drizzle on another driver, or over a single connection
 */
export function drizzle<Tx>(db: DrizzleLike<Tx>, options: ToolOptions = {}): Database<Tx, 'async'> {
  const { $client } = db as { readonly $client?: unknown }
  if (typeof $client === 'function') {
    const sql = $client as unknown as Sql
    return postgres((ports, open) => openPostgres(overPostgresJs(db, sql, ports), options, ports, open))
  }
  if (typeof ($client as Partial<Pool> | undefined)?.totalCount === 'number') {
    const pool = $client as Pool
    return postgres((ports, open) => openPostgres(overPg(db, pool, ports), options, ports, open))
  }
  const pool = mysqlPoolOf($client)
  if (pool) {
    // From now on, not from the first publish: what a connection has heard before nobody noted.
    followPool(pool)
    return {
      mode: 'async',
      dialect: 'mysql',
      open: (ports, open) => openMysql(overMysql2(db, pool), options, ports, open),
    }
  }
  throw new WaybillError(
    'config.invalid',
    'this is no Drizzle database over a Pool of pg, over postgres.js or over a pool of mysql2; pass what drizzle(…) of drizzle-orm/node-postgres, drizzle-orm/postgres-js or drizzle-orm/mysql2 answers',
  )
}

function postgres<Tx>(open: Database<Tx, 'async'>['open']): Database<Tx, 'async'> {
  return { mode: 'async', dialect: 'postgres', open }
}

/** Of promises, or the one with callbacks, of which Drizzle itself uses the promises. */
function mysqlPoolOf(client: unknown): MysqlPool | undefined {
  const { getConnection, promise } = (client ?? {}) as Record<string, unknown>
  if (typeof getConnection !== 'function') return undefined
  return (typeof promise === 'function' ? promise.call(client) : client) as MysqlPool
}
