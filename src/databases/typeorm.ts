import type { Pool, PoolClient } from 'pg'
import type { DataSource, EntityManager, QueryRunner } from 'typeorm'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import type { PgAdopted, PgUserTransaction } from '../stores/postgres/driver.ts'
import { type PostgresOptions, openPostgres } from '../stores/postgres/open.ts'
import { adoptedRoot } from './adopted.ts'
import { guardLent } from './lent-client.ts'
import { PgPoolDriver, asPgPool } from './pg-pool.ts'
import { ToolDriver } from './tool-driver.ts'

export type { PostgresOptions } from '../stores/postgres/open.ts'

/**
 * PostgreSQL 14 or later through TypeORM. `publish` takes the `EntityManager` that `dataSource.transaction` hands to your callback;
 * handlers and `waybill.transaction` give you one of that kind.
 *
 * @param dataSource yours, initialised: Waybill takes connections from its pool and never destroys it
 * @param options.schema where Waybill's tables are; default 'public'
 * @throws WaybillError `config.invalid` for a data source of another database, or one that is not initialised
 */
export function typeorm(
  dataSource: DataSource,
  options: PostgresOptions = {},
): Database<EntityManager, 'async'> {
  return {
    mode: 'async',
    dialect: 'postgres',
    open: (ports, open) => openPostgres(new TypeOrmDriver(dataSource, ports), options, ports, open),
  }
}

/** What TypeORM keeps the connection in, from which all statements of a query runner go out. */
interface WithConnection {
  databaseConnection?: PoolClient
}

class TypeOrmDriver extends ToolDriver<EntityManager> {
  readonly name = 'typeorm'
  readonly #dataSource: DataSource
  readonly #pool: PgPoolDriver

  constructor(dataSource: DataSource, ports: Ports) {
    const pool = new PgPoolDriver(asPgPool(poolOf(dataSource)), ports)
    super(pool)
    this.#pool = pool
    this.#dataSource = dataSource
  }

  async begin(): Promise<PgUserTransaction<EntityManager>> {
    this.assertOpen()
    const runner = this.#dataSource.createQueryRunner()
    try {
      await runner.connect()
      await runner.startTransaction('READ COMMITTED')
    } catch (error) {
      await runner.release()
      throw error
    }
    const connection = runner as WithConnection
    const transaction = guardLent(this.#pool, {
      tx: runner.manager,
      client: connection.databaseConnection!,
      put: (client) => {
        connection.databaseConnection = client
      },
      commit: () => runner.commitTransaction().finally(() => runner.release()),
      rollBack: () => runner.rollbackTransaction().finally(() => runner.release()),
    })
    refuseWhenReleased(runner, transaction)
    return transaction
  }

  adopt(handle: unknown): PgAdopted | undefined {
    const runner = runnerOf(handle)
    if (runner === undefined) return isManager(handle) ? adoptedRoot : undefined
    const { databaseConnection } = runner as WithConnection
    const adopted = databaseConnection && this.base.adopt(databaseConnection)
    if (!adopted) return runner.isTransactionActive ? undefined : adoptedRoot
    return {
      ...adopted,
      isInTransaction: () => adopted.isInTransaction() && runner.isTransactionActive,
    }
  }
}

/** TypeORM refuses a released runner with an error of its own, before the guarded connection can. */
function refuseWhenReleased(runner: QueryRunner, { guard }: PgUserTransaction<EntityManager>): void {
  const query = runner.query.bind(runner)
  runner.query = async (...args: Parameters<QueryRunner['query']>) => {
    if (runner.isReleased) guard.checkOpen()
    return query(...args)
  }
}

function poolOf(dataSource: DataSource): Pool {
  const { master } = dataSource.driver as { readonly master?: Pool }
  if (typeof master?.totalCount === 'number') return master
  throw new WaybillError(
    'config.invalid',
    'this data source has no pool of pg; pass one of type postgres, after its initialize()',
  )
}

function runnerOf(handle: unknown): QueryRunner | undefined {
  const { queryRunner, isTransactionActive } = (handle ?? {}) as Partial<EntityManager & QueryRunner>
  return typeof isTransactionActive === 'boolean' ? (handle as QueryRunner) : queryRunner
}

function isManager(handle: unknown): boolean {
  const { transaction, getRepository } = (handle ?? {}) as Partial<EntityManager>
  return typeof transaction === 'function' && typeof getRepository === 'function'
}
