import type { Pool as MysqlPool } from 'mysql2/promise'
import type { Pool } from 'pg'
import type { DataSource, EntityManager } from 'typeorm'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { openMysql } from '../stores/mysql/open.ts'
import { openPostgres } from '../stores/postgres/open.ts'
import { followPool } from './mysql2-status.ts'
import type { ToolOptions } from './tool-options.ts'
import { TypeOrmMysqlDriver } from './typeorm-mysql.ts'
import { TypeOrmPostgresDriver } from './typeorm-postgres.ts'

export type { ToolOptions } from './tool-options.ts'

/**
 * PostgreSQL 14 or later through TypeORM, MySQL 8.4 or later and MariaDB 10.6 or later through TypeORM with `mysql2`. `publish` takes the
 * `EntityManager` that `dataSource.transaction` hands to your callback; handlers and `waybill.transaction` give you one of that kind.
 *
 * @param dataSource yours, initialised: Waybill takes connections from its pool and never destroys it
 * @throws WaybillError `config.invalid` for a data source of another database, or one that is not initialised
 */
export function typeorm(dataSource: DataSource, options: ToolOptions = {}): Database<EntityManager, 'async'> {
  const { master, pool } = dataSource.driver as { readonly master?: unknown; readonly pool?: unknown }
  if (typeof (master as Partial<Pool> | undefined)?.totalCount === 'number')
    return {
      mode: 'async',
      dialect: 'postgres',
      open: (ports, open) =>
        openPostgres(new TypeOrmPostgresDriver(dataSource, master as Pool, ports), options, ports, open),
    }
  const promises = (pool as { promise?(): MysqlPool } | undefined)?.promise?.()
  if (promises) {
    // From now on, not from the first publish: what a connection has heard before nobody noted.
    followPool(promises)
    return {
      mode: 'async',
      dialect: 'mysql',
      open: (ports, open) => openMysql(new TypeOrmMysqlDriver(dataSource, promises), options, ports, open),
    }
  }
  throw new WaybillError(
    'config.invalid',
    'this data source has no pool of pg or mysql2; pass one of type postgres, mysql or mariadb, after its initialize()',
  )
}
