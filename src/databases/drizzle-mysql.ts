import type { Pool, PoolConnection } from 'mysql2/promise'
import type { MyAdopted, MyDriver, MyUserTransaction } from '../stores/mysql/driver.ts'
import { coded } from '../stores/mysql/errors.ts'
import { adoptedRoot } from './adopted.ts'
import { beginInCallback } from './callback-transaction.ts'
import { type DrizzleLike, isTransaction, sessionOf } from './drizzle-session.ts'
import { guardLent } from './mysql-lent.ts'
import { MyToolDriver } from './mysql-tool-driver.ts'
import { Mysql2Driver, asMyPool } from './mysql2-pool.ts'

/** Over `mysql2`, where Drizzle sends COMMIT and ROLLBACK itself. */
export function overMysql2<Tx>(db: DrizzleLike<Tx>, pool: Pool): MyDriver<Tx> {
  return new DrizzleMysqlDriver(db, new Mysql2Driver(asMyPool(pool)))
}

class DrizzleMysqlDriver<Tx> extends MyToolDriver<Tx> {
  readonly name = 'drizzle-orm'
  readonly #db: DrizzleLike<Tx>

  constructor(db: DrizzleLike<Tx>, base: Mysql2Driver) {
    super(base)
    this.#db = db
  }

  async begin(): Promise<MyUserTransaction<Tx>> {
    this.assertOpen()
    const transaction = await beginInCallback<Tx>(
      (callback) => this.#db.transaction(callback, { isolationLevel: 'read committed' }),
      coded,
    )
    const session = sessionOf(transaction.tx)!
    return guardLent(this.base, {
      ...transaction,
      connection: session.client as PoolConnection,
      put: (connection) => {
        session.client = connection
      },
    })
  }

  adopt(handle: unknown): MyAdopted | undefined {
    const session = sessionOf(handle)
    if (!session) return undefined
    return isTransaction(handle) ? this.base.adopt(session.client) : adoptedRoot
  }
}
