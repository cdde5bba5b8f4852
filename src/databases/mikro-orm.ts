import type { EntityManager, IDatabaseDriver, MikroORM } from '@mikro-orm/core'
import type { Database, OpenDatabase } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { openMysql } from '../stores/mysql/open.ts'
import { openPostgres } from '../stores/postgres/open.ts'
import type { Orm } from './mikro-orm-manager.ts'
import { MikroOrmMysqlDriver } from './mikro-orm-mysql.ts'
import { MikroOrmPostgresDriver } from './mikro-orm-postgres.ts'
import type { ToolOptions } from './tool-options.ts'

export type { ToolOptions } from './tool-options.ts'

/**
 * PostgreSQL 14 or later through `@mikro-orm/postgresql`, MySQL 8.4 or later and MariaDB 10.6 or later through `@mikro-orm/mysql`.
 * `publish` takes the `em` that `em.transactional` hands to your callback, or one after `em.begin`; handlers and `waybill.transaction` give
 * you a fork in a transaction, which is flushed before COMMIT.
 *
 * @param orm yours: Waybill takes connections from its pool and never closes it
 * @throws WaybillError `config.invalid` for a MikroORM of another database
 */
export function mikroOrm<Driver extends IDatabaseDriver, Em extends EntityManager<Driver>>(
  orm: MikroORM<Driver, Em, any>,
  options: ToolOptions = {},
): Database<Em, 'async'> {
  const any = orm as unknown as Orm
  const platform = (orm.em as EntityManager).getPlatform().constructor.name
  if (platform === 'PostgreSqlPlatform')
    return {
      mode: 'async',
      dialect: 'postgres',
      open: (ports, open) =>
        typed(openPostgres(new MikroOrmPostgresDriver(any, ports), options, ports, open)),
    }
  if (platform === 'MySqlPlatform')
    return {
      mode: 'async',
      dialect: 'mysql',
      open: (ports, open) => typed(openMysql(new MikroOrmMysqlDriver(any), options, ports, open)),
    }
  throw new WaybillError('config.invalid', `this MikroORM is of the ${platform}, not of PostgreSQL or MySQL`)
}

/** Its managers are those that the `orm` forks. */
function typed<Em>(database: OpenDatabase<never>): OpenDatabase<Em> {
  return database as unknown as OpenDatabase<Em>
}
