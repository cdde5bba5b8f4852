import type { Pool, PoolClient } from 'pg'
import type { DataSource, EntityManager } from 'typeorm'
import type { Ports } from '../core/ports.ts'
import type { PgAdopted, PgUserTransaction } from '../stores/postgres/driver.ts'
import { adoptedRoot } from './adopted.ts'
import { guardLent } from './lent-client.ts'
import { PgPoolDriver, asPgPool } from './pg-pool.ts'
import { ToolDriver } from './tool-driver.ts'
import { begunRunner, isManager, refuseWhenReleased, runnerOf } from './typeorm-runner.ts'

/** What TypeORM keeps the connection in, from which all statements of a query runner go out. */
interface WithConnection {
  databaseConnection?: PoolClient
}

export class TypeOrmPostgresDriver extends ToolDriver<EntityManager> {
  readonly name = 'typeorm'
  readonly #dataSource: DataSource
  readonly #pool: PgPoolDriver

  constructor(dataSource: DataSource, master: Pool, ports: Ports) {
    const pool = new PgPoolDriver(asPgPool(master), ports)
    super(pool)
    this.#pool = pool
    this.#dataSource = dataSource
  }

  async begin(): Promise<PgUserTransaction<EntityManager>> {
    this.assertOpen()
    const runner = await begunRunner(this.#dataSource)
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
    refuseWhenReleased(runner, () => transaction.guard.checkOpen())
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
