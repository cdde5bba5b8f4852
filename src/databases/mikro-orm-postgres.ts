import type { Pool } from 'pg'
import type { Ports } from '../core/ports.ts'
import { EndingGuard, Guard } from '../stores/postgres/control.ts'
import { type PgAdopted, type PgUserTransaction, sqlState } from '../stores/postgres/driver.ts'
import { coded } from '../stores/postgres/errors.ts'
import { probe, rolledBackAtCommit } from '../stores/postgres/transactions.ts'
import { adoptedRoot } from './adopted.ts'
import { askKysely, guardConnection } from './kysely-connection.ts'
import {
  type Manager,
  type Orm,
  begunManager,
  contextOf,
  isManager,
  placeOf,
  refusingContext,
} from './mikro-orm-manager.ts'
import { type PgPool, PgPoolDriver } from './pg-pool.ts'
import { ToolDriver } from './tool-driver.ts'

const failedTransaction = '25P02'

export class MikroOrmPostgresDriver extends ToolDriver<Manager> {
  readonly name = '@mikro-orm/postgresql'
  readonly #orm: Orm
  readonly #given = new WeakMap<object, Guard>()

  constructor(orm: Orm, ports: Ports) {
    super(new PgPoolDriver(poolOf(orm), ports))
    this.#orm = orm
  }

  async begin(): Promise<PgUserTransaction<Manager>> {
    this.assertOpen()
    const tx = await begunManager(this.#orm)
    const context = contextOf(tx)!
    const guard = new Guard()
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
        // Without one, MikroORM would run what comes late in a transaction of its own.
        tx.setTransactionContext(refusingContext(() => guard.checkOpen()))
      }
    }
    const rollBack = (): Promise<void> => end('rollback').catch(() => {})
    return {
      tx,
      guard,
      query: (text, params) => askKysely(context, text, params),
      commit: async () => {
        guard.isOver = false
        try {
          await tx.flush()
          // MikroORM does not tell that COMMIT rolled a failed transaction back; the server refuses this in one.
          await askKysely(context, probe, [])
        } catch (error) {
          await rollBack()
          throw sqlState(error) === failedTransaction ? rolledBackAtCommit() : coded(error)
        } finally {
          guard.isOver = true
        }
        await end('commit')
      },
      rollBack,
    }
  }

  adopt(handle: unknown): PgAdopted | undefined {
    if (!isManager(handle) || placeOf(handle) !== placeOf(this.#orm.em)) return undefined
    const guard = this.#given.get(handle)
    const context = contextOf(handle)
    if (!context) return adoptedRoot
    return {
      runner: {
        query: async (text, params) => {
          guard?.checkOpen()
          return askKysely(context, text, params)
        },
      },
      isInTransaction: () => {
        guard?.checkOpen()
        return handle.isInTransaction()
      },
    }
  }
}

/** Its pool, which is there only once it has connected. */
function poolOf({ em }: Orm): PgPool {
  const pool = async (): Promise<Pool> => (await em.getConnection().getNativeClient()) as Pool
  return {
    connect: async () => (await pool()).connect(),
    query: (async (config: never) => (await pool()).query(config)) as PgPool['query'],
    options: {},
    get Client(): never {
      throw new Error('adopt() compares places itself')
    },
  }
}
