import type { Pool, PoolConnection } from 'mysql2/promise'
import type { Database } from '../core/database.ts'
import { type MysqlOptions, openMysql } from '../stores/mysql/open.ts'
import { Mysql2Driver, asMyPool } from './mysql2-pool.ts'
import { followPool } from './mysql2-status.ts'

export type { MysqlOptions } from '../stores/mysql/open.ts'

/**
 * MySQL 8.4 or later, and MariaDB 10.6 or later, through the package `mysql2`. `publish` takes the connection of this pool that your
 * business change is written with, in a transaction; handlers and `waybill.transaction` give you one of the pool's.
 *
 * @param pool yours, of `mysql2/promise`: Waybill takes connections from it and never ends it. Leave it room for one connection per running handler and three more
 * @param options.schema the database on the same server that Waybill's tables are in; default the pool's own
 */
export function mysql2(pool: Pool, options: MysqlOptions = {}): Database<PoolConnection, 'async'> {
  // From now on, not from the first publish: what a connection has heard before nobody noted.
  followPool(pool)
  return {
    mode: 'async',
    dialect: 'mysql',
    open: (ports, open) => openMysql(new Mysql2Driver(asMyPool(pool)), options, ports, open),
  }
}
