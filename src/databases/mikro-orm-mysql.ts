import type { Pool } from 'mysql2'
import { Guard } from '../stores/mysql/control.ts'
import type { MyAdopted, MyUserTransaction } from '../stores/mysql/driver.ts'
import { coded } from '../stores/mysql/errors.ts'
import { adoptedRoot } from './adopted.ts'
import { connectionOf, guardConnection } from './kysely-connection.ts'
import { coreOfKysely } from './kysely-core.ts'
import {
  type Manager,
  type Orm,
  begunManager,
  contextOf,
  isManager,
  placeOf,
  refusingContext,
} from './mikro-orm-manager.ts'
import { adoptUnseen } from './mysql-adopted.ts'
import { EndingGuard } from './mysql-ending.ts'
import { MyToolDriver } from './mysql-tool-driver.ts'
import { ask } from './mysql2-answers.ts'
import { type MyPool, Mysql2Driver } from './mysql2-pool.ts'
import { type Core, statusOf } from './mysql2-status.ts'

export class MikroOrmMysqlDriver extends MyToolDriver<Manager> {
  readonly name = '@mikro-orm/mysql'
  readonly #orm: Orm
  readonly #given = new WeakMap<object, Guard>()

  constructor(orm: Orm) {
    super(new Mysql2Driver(poolOf(orm)))
    this.#orm = orm
  }

  async begin(): Promise<MyUserTransaction<Manager>> {
    this.assertOpen()
    const tx = await begunManager(this.#orm)
    const context = contextOf(tx)!
    const core = await coreOfKysely(await connectionOf(context))
    const status = statusOf(core)
    const guard = new Guard(() => status.isIn)
    this.#given.set(tx, guard)
    const connection = await guardConnection(context, guard, new EndingGuard())
    const end = async (how: 'commit' | 'rollback'): Promise<void> => {
      connection.letEnd()
      try {
        await tx[how]()
      } catch (error) {
        // A COMMIT that failed has not given the connection back.
        if (how === 'commit') await tx.rollback().catch(() => {})
        throw error
      } finally {
        connection.stop()
        tx.setTransactionContext(refusingContext(() => guard.check('')))
      }
    }
    const rollBack = (): Promise<void> => end('rollback').catch(() => {})
    return {
      tx,
      guard,
      query: (text, params) => ask(core, text, params),
      commit: async () => {
        guard.isOver = false
        try {
          await tx.flush()
          guard.checkAlive()
        } catch (error) {
          await rollBack()
          throw coded(error)
        } finally {
          guard.isOver = true
        }
        await end('commit')
      },
      rollBack,
    }
  }

  adopt(handle: unknown): MyAdopted | undefined {
    if (!isManager(handle) || placeOf(handle) !== placeOf(this.#orm.em)) return undefined
    const context = contextOf(handle)
    if (!context) return adoptedRoot
    return adoptUnseen({
      core: async () => coreOfKysely(await connectionOf(context)),
      isOpen: () => handle.isInTransaction(),
      guard: this.#given.get(handle),
    })
  }
}

/** Its pool, which is there only once it has connected. */
function poolOf({ em }: Orm): MyPool {
  const connection = em.getConnection()
  return {
    place: connection.getConnectionOptions() as Core['config'],
    getConnection: async () => ((await connection.getNativeClient()) as Pool).promise().getConnection(),
  }
}
