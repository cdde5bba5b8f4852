import type { Pool, PoolConnection } from 'mysql2/promise'
import type { DataSource, EntityManager } from 'typeorm'
import type { MyAdopted, MyUserTransaction } from '../stores/mysql/driver.ts'
import { adoptedRoot } from './adopted.ts'
import { guardLent } from './mysql-lent.ts'
import { MyToolDriver } from './mysql-tool-driver.ts'
import { Mysql2Driver, asMyPool } from './mysql2-pool.ts'
import { begunRunner, isManager, refuseWhenReleased, runnerOf } from './typeorm-runner.ts'

/** What TypeORM keeps the connection in: the one with callbacks, of which it uses the promises. */
interface WithConnection {
  databaseConnection?: { promise(): PoolConnection }
}

export class TypeOrmMysqlDriver extends MyToolDriver<EntityManager> {
  readonly name = 'typeorm'
  readonly #dataSource: DataSource
  /** The guarded connections of runners that were given out. */
  readonly #given = new WeakMap<object, PoolConnection>()

  constructor(dataSource: DataSource, pool: Pool) {
    super(new Mysql2Driver(asMyPool(pool)))
    this.#dataSource = dataSource
  }

  async begin(): Promise<MyUserTransaction<EntityManager>> {
    this.assertOpen()
    const runner = await begunRunner(this.#dataSource)
    const { databaseConnection } = runner as WithConnection
    const transaction = guardLent(this.base, {
      tx: runner.manager,
      connection: databaseConnection!.promise(),
      put: (connection) => {
        this.#given.set(runner, connection)
        const { connection: below } = connection as unknown as { connection: object }
        Object.assign(runner, { databaseConnection: withPromise(below, connection) })
      },
      commit: () => runner.commitTransaction().finally(() => runner.release()),
      rollBack: () => runner.rollbackTransaction().finally(() => runner.release()),
    })
    refuseWhenReleased(runner, () => transaction.guard.check(''))
    return transaction
  }

  adopt(handle: unknown): MyAdopted | undefined {
    const runner = runnerOf(handle)
    if (runner === undefined) return isManager(handle) ? adoptedRoot : undefined
    const { databaseConnection } = runner as WithConnection
    const adopted = databaseConnection && this.base.adopt(this.#given.get(runner) ?? databaseConnection)
    if (!adopted) return runner.isTransactionActive ? undefined : adoptedRoot
    return {
      ...adopted,
      isInTransaction: () => {
        const isIn = adopted.isInTransaction()
        return runner.isTransactionActive ? isIn : false
      },
    }
  }
}

/** The connection with callbacks that answers exactly these promises. */
function withPromise(below: object, promise: PoolConnection): object {
  return new Proxy(below, {
    get: (target, name) => {
      if (name === 'promise') return () => promise
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
