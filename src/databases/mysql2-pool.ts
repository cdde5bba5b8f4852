import type { Pool, PoolConnection } from 'mysql2/promise'
import { WaybillError } from '../core/errors.ts'
import { Guard } from '../stores/mysql/control.ts'
import {
  type MyAdopted,
  type MyAnswer,
  type MyDriver,
  type MySession,
  type MyUserTransaction,
  type MyValue,
  errorNumber,
} from '../stores/mysql/driver.ts'
import { beginReadCommitted, begun } from '../stores/mysql/transactions.ts'
import { ask } from './mysql2-answers.ts'
import { guarded } from './mysql2-guarded.ts'
import { type Core, statusOf } from './mysql2-status.ts'

/** A pool of `mysql2/promise` as the store's driver. */
export class Mysql2Driver implements MyDriver<PoolConnection> {
  readonly name = 'mysql2'
  readonly #pool: Pool
  #isClosed = false
  /** The connection behind each handle that was given out. */
  readonly #given = new WeakMap<object, { readonly core: Core; readonly guard: Guard }>()

  constructor(pool: Pool) {
    this.#pool = pool
  }

  get database(): string | undefined {
    return this.#place.database || undefined
  }

  async query(text: string, params: readonly MyValue[]): Promise<MyAnswer> {
    const { core } = await this.#take()
    const session = sessionOf(core)
    try {
      const answer = await ask(core, text, params)
      // The user's connections may be without autocommit: one statement is a transaction all the same.
      if (statusOf(core).isIn) await ask(core, 'commit', [])
      session.release()
      return answer
    } catch (error) {
      const isWhole = errorNumber(error) !== undefined && statusOf(core).isIn === false
      session.release(isWhole ? undefined : error)
      throw error
    }
  }

  async session(): Promise<MySession> {
    const { core } = await this.#take()
    return sessionOf(core)
  }

  async begin(): Promise<MyUserTransaction<PoolConnection>> {
    const { connection, core } = await this.#take()
    const transaction = await begun(sessionOf(core), beginReadCommitted)
    const status = statusOf(core)
    const guard = new Guard(() => status.isIn)
    const tx = guarded(connection, guard)
    this.#given.set(tx, { core, guard })
    return { ...transaction, tx, guard }
  }

  adopt(handle: unknown): MyAdopted | undefined {
    const given = typeof handle === 'object' && handle !== null ? this.#given.get(handle) : undefined
    const core = given?.core ?? coreOf(handle)
    if (!core || !this.#isOfThisDatabase(core)) return undefined
    const status = statusOf(core)
    return {
      runner: {
        query: async (text, params) => {
          given?.guard.check('')
          return ask(core, text, params)
        },
      },
      isInTransaction: () => {
        given?.guard.check('')
        return status.isIn
      },
      onceEnded: (ended) => status.onceEnded(ended),
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** The pool is the user's, and goes on without Waybill. */
  async #take(): Promise<{ connection: PoolConnection; core: Core }> {
    if (this.#isClosed) throw new WaybillError('waybill.stopped', 'this Waybill was stopped; make a new one')
    const connection = await this.#pool.getConnection()
    const core = connection.connection as unknown as Core
    // Somebody gave it back in the middle of a transaction, which the next BEGIN would commit.
    if (statusOf(core).isIn) await endLeftOpen(core)
    return { connection, core }
  }

  /** The log must be in the database of the business change, or they would not commit together. */
  #isOfThisDatabase({ config }: Core): boolean {
    const { host, port, socketPath, database } = this.#place
    return (
      config.host === host &&
      config.port === port &&
      config.socketPath === socketPath &&
      config.database === database
    )
  }

  get #place(): Core['config'] {
    return (this.#pool as unknown as { pool: { config: { connectionConfig: Core['config'] } } }).pool.config
      .connectionConfig
  }
}

function sessionOf(core: Core): MySession {
  return {
    query: (text, params) => ask(core, text, params),
    release: (error) => (error === undefined ? core.release!() : core.destroy()),
  }
}

async function endLeftOpen(core: Core): Promise<void> {
  try {
    await ask(core, 'rollback', [])
  } catch (error) {
    core.destroy()
    throw error
  }
}

/** What is below a handle: of promises, or the one with callbacks. A pool has none: each of its queries may go over another. */
function coreOf(handle: unknown): Core | undefined {
  const { connection, handlePacket } = (handle ?? {}) as Record<string, unknown>
  if (typeof handlePacket === 'function') return handle as Core
  return typeof (connection as Core | undefined)?.handlePacket === 'function'
    ? (connection as Core)
    : undefined
}
