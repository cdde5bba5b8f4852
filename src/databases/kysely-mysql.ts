import type { Kysely, Transaction } from 'kysely'
import { WaybillError } from '../core/errors.ts'
import { Guard } from '../stores/mysql/control.ts'
import type { MyAdopted, MyUserTransaction } from '../stores/mysql/driver.ts'
import { coded } from '../stores/mysql/errors.ts'
import { adoptedRoot } from './adopted.ts'
import { beginInCallback } from './callback-transaction.ts'
import { type AnyKysely, connectionOf, guardConnection, isKysely, pluginOf } from './kysely-connection.ts'
import { coreOfKysely } from './kysely-core.ts'
import { adoptUnseen } from './mysql-adopted.ts'
import { EndingGuard } from './mysql-ending.ts'
import { MyToolDriver } from './mysql-tool-driver.ts'
import { ask } from './mysql2-answers.ts'
import { type MyPool, Mysql2Driver } from './mysql2-pool.ts'
import { type Core, statusOf } from './mysql2-status.ts'

export class KyselyMysqlDriver<Tables> extends MyToolDriver<Transaction<Tables>> {
  readonly name = 'kysely'
  readonly #db: Kysely<Tables>
  readonly #pool: KyselyPool
  /** Transactions that were given out. */
  readonly #given = new WeakMap<object, Guard>()

  constructor(db: Kysely<Tables>) {
    const pool = new KyselyPool(db)
    super(new Mysql2Driver(pool))
    this.#db = db
    this.#pool = pool
  }

  async begin(): Promise<MyUserTransaction<Transaction<Tables>>> {
    this.assertOpen()
    const opened = await this.#db.startTransaction().setIsolationLevel('read committed').execute()
    const core = await this.#pool.coreOf(opened)
    const status = statusOf(core)
    const guard = new Guard(() => status.isIn)
    const connection = await guardConnection(opened, guard, new EndingGuard())
    // The plugin sees what is built; Kysely itself refuses what runs on a transaction that has ended.
    const tx = opened.withPlugin(pluginOf({ checkOpen: () => guard.check('') }))
    this.#given.set(tx, guard)
    const end = async (how: 'commit' | 'rollback'): Promise<void> => {
      connection.letEnd()
      try {
        await opened[how]().execute()
      } catch (error) {
        // A COMMIT that failed has not given the connection back.
        if (how === 'commit')
          await opened
            .rollback()
            .execute()
            .catch(() => {})
        throw error
      } finally {
        connection.stop()
      }
    }
    return {
      tx,
      guard,
      query: (text, params) => ask(core, text, params),
      commit: () => end('commit'),
      rollBack: () => end('rollback').catch(() => {}),
    }
  }

  adopt(handle: unknown): MyAdopted | undefined {
    if (!isKysely(handle)) return undefined
    if (!handle.isTransaction) return adoptedRoot
    return adoptUnseen({
      core: () => this.#pool.ownCoreOf(handle),
      isOpen: () => true,
      guard: this.#given.get(handle),
    })
  }
}

/** Kysely does not show its pool: connections are taken through it. */
class KyselyPool implements MyPool {
  readonly #db: Kysely<any>

  /** Not known before there is a connection: `options.schema` says it. */
  readonly place = {}
  /** Where the connections lead to, known from the first one. */
  #lead: Promise<Core['config']> | undefined

  constructor(db: Kysely<any>) {
    this.#db = db
  }

  async getConnection(): ReturnType<MyPool['getConnection']> {
    const { tx, commit } = await beginInCallback<AnyKysely>(
      (callback) => this.#db.connection().execute(callback),
      coded,
    )
    const release = (): void => void commit().catch(() => {})
    try {
      const core = await this.coreOf(tx)
      return {
        connection: core,
        release,
        destroy: () => {
          core.destroy()
          release()
        },
      }
    } catch (error) {
      release()
      throw error
    }
  }

  async coreOf(kysely: AnyKysely): Promise<Core> {
    return coreOfKysely(await connectionOf(kysely))
  }

  /**
   * The log must be in the database of the business change, or they would not commit together.
   * @throws WaybillError `publish.handle-unknown`
   */
  async ownCoreOf(kysely: AnyKysely): Promise<Core> {
    const core = await this.coreOf(kysely)
    this.#lead ??= this.#findLead()
    if (placeOf(core.config) !== placeOf(await this.#lead))
      throw new WaybillError(
        'publish.handle-unknown',
        'this transaction of kysely is one of another database; pass the one that the business change is written with',
      )
    return core
  }

  async #findLead(): Promise<Core['config']> {
    const { connection, release } = await this.getConnection()
    release()
    return (connection as Core).config
  }
}

function placeOf({ host, port, socketPath, database }: Core['config']): string {
  return JSON.stringify([host, port, socketPath, database])
}
