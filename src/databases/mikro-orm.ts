import type { EntityManager, IsolationLevel, MikroORM } from '@mikro-orm/postgresql'
import type { Pool } from 'pg'
import type { Database } from '../core/database.ts'
import type { Ports } from '../core/ports.ts'
import { EndingGuard, Guard } from '../stores/postgres/control.ts'
import { type PgAdopted, type PgUserTransaction, sqlState } from '../stores/postgres/driver.ts'
import { coded } from '../stores/postgres/errors.ts'
import { type PostgresOptions, openPostgres } from '../stores/postgres/open.ts'
import { probe, rolledBackAtCommit } from '../stores/postgres/transactions.ts'
import { adoptedRoot } from './adopted.ts'
import { type AnyKysely, askKysely, guardConnection } from './kysely-connection.ts'
import { type PgPool, PgPoolDriver } from './pg-pool.ts'
import { ToolDriver } from './tool-driver.ts'

export type { PostgresOptions } from '../stores/postgres/open.ts'

/**
 * PostgreSQL 14 or later through MikroORM. `publish` takes the `em` that `em.transactional` hands to your callback, or one after
 * `em.begin`; handlers and `waybill.transaction` give you a fork in a transaction, which is flushed before COMMIT.
 *
 * @param orm yours: Waybill takes connections from its pool and never closes it
 * @param options.schema where Waybill's tables are; default 'public'
 */
export function mikroOrm(orm: MikroORM, options: PostgresOptions = {}): Database<EntityManager, 'async'> {
  return {
    mode: 'async',
    dialect: 'postgres',
    open: (ports, open) => openPostgres(new MikroOrmDriver(orm, ports), options, ports, open),
  }
}

const failedTransaction = '25P02'

class MikroOrmDriver extends ToolDriver<EntityManager> {
  readonly name = '@mikro-orm/postgresql'
  readonly #orm: MikroORM
  readonly #given = new WeakMap<object, Guard>()

  constructor(orm: MikroORM, ports: Ports) {
    super(new PgPoolDriver(poolOf(orm), ports))
    this.#orm = orm
  }

  async begin(): Promise<PgUserTransaction<EntityManager>> {
    this.assertOpen()
    const tx = this.#orm.em.fork() as EntityManager
    await tx.begin({ isolationLevel: 'read committed' as IsolationLevel })
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
        tx.setTransactionContext(refusingContext(guard))
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

type Manager = Pick<
  EntityManager,
  'getConnection' | 'getTransactionContext' | 'isInTransaction' | 'setTransactionContext'
>

function isManager(handle: unknown): handle is Manager {
  const { getTransactionContext, isInTransaction } = (handle ?? {}) as Partial<EntityManager>
  return typeof getTransactionContext === 'function' && typeof isInTransaction === 'function'
}

/** MikroORM's transactions are those of the Kysely inside of it. */
function contextOf(em: Manager): AnyKysely | undefined {
  return em.getTransactionContext() as AnyKysely | undefined
}

function refusingContext(guard: Guard): never {
  return { isTransaction: true, executeQuery: async () => guard.checkOpen() } as never
}

/** The log must be in the database of the business change, or they would not commit together. */
function placeOf(em: Manager): string {
  const { host, port, database } = em.getConnection().getConnectionOptions() as Record<string, unknown>
  return JSON.stringify([host, port, database])
}

/** Its pool, which is there only once it has connected. */
function poolOf({ em }: MikroORM): PgPool {
  const pool = async (): Promise<Pool> => {
    const connection = em.getConnection() as unknown as { getNativeClient(): Promise<Pool> }
    return connection.getNativeClient()
  }
  return {
    connect: async () => (await pool()).connect(),
    query: (async (config: never) => (await pool()).query(config)) as PgPool['query'],
    options: {},
    get Client(): never {
      throw new Error('adopt() compares places itself')
    },
  }
}
