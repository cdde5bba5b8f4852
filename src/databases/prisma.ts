import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { openMysql } from '../stores/mysql/open.ts'
import { openPostgres } from '../stores/postgres/open.ts'
import { type AnyPrisma, type PrismaLike, adapterOf } from './prisma-client.ts'
import { PrismaMysqlDriver } from './prisma-mysql.ts'
import { PrismaPostgresDriver } from './prisma-postgres.ts'
import { type ToolOptions, requireSchema } from './tool-options.ts'

export type { PrismaLike } from './prisma-client.ts'

export interface PrismaOptions extends ToolOptions {
  /** How long a transaction of `waybill.transaction` or of a handler may take before Prisma rolls it back. Default an hour; Prisma's own is 5 s. */
  readonly transactionTimeoutMs?: number
}

const hourMs = 3_600_000

/**
 * PostgreSQL 14 or later through Prisma 7 with the driver adapter `@prisma/adapter-pg`, MySQL 8.4 or later and MariaDB 10.6 or later with
 * `@prisma/adapter-mariadb`. `publish` takes the `tx` that `client.$transaction(async (tx) => …)` hands to your callback; handlers and
 * `waybill.transaction` give you one of that kind.
 *
 * @param client yours: Waybill never disconnects it. Where its adapter was made with settings instead of a pool, Waybill has a pool of its own with the same settings
 * @param options.schema on MySQL and MariaDB it must be given: Prisma does not show which database its connections are in
 * @throws WaybillError `config.invalid` for a client without a driver adapter, or with one of another database
 */
export function prisma<Tx>(client: PrismaLike<Tx>, options: PrismaOptions = {}): Database<Tx, 'async'> {
  const any = client as unknown as AnyPrisma
  const { provider } = adapterOf(any)
  const timeout = options.transactionTimeoutMs ?? hourMs
  const times = { timeout, maxWait: timeout }
  if (provider === 'postgres')
    return {
      mode: 'async',
      dialect: 'postgres',
      open: (ports, open) =>
        openPostgres(new PrismaPostgresDriver<Tx>(any, times, ports), options, ports, open),
    }
  if (provider === 'mysql') {
    requireSchema('prisma(client, …)', options)
    return {
      mode: 'async',
      dialect: 'mysql',
      open: (ports, open) => openMysql(new PrismaMysqlDriver<Tx>(any, times), options, ports, open),
    }
  }
  throw new WaybillError(
    'config.invalid',
    `this PrismaClient has a driver adapter for ${provider}, not for postgres or mysql`,
  )
}
