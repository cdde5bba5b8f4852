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
import { isReadOnly } from '../stores/mysql/errors.ts'
import { beginReadCommitted, begun } from '../stores/mysql/transactions.ts'
import { ask } from './mysql2-answers.ts'
import { guarded } from './mysql2-guarded.ts'
import { type Core, statusOf } from './mysql2-status.ts'
import { assertRoom } from './pool-room.ts'

/** What is needed of a pool. */
export interface MyPool {
  getConnection(): Promise<PooledConnection>
  /** Where its connections lead to. */
  readonly place: Core['config']
  readonly connectionsMax?: number
}

/** A connection of a pool, on the way to the one below. */
export interface PooledConnection {
  readonly connection: object
  release(): void
  destroy(): void
}

interface PoolConfig {
  readonly connectionConfig: Core['config']
  readonly connectionLimit: number
}

export function asMyPool(pool: Pool): MyPool {
  const { config } = (pool as unknown as { readonly pool: { readonly config: PoolConfig } }).pool
  const { connectionConfig: place, connectionLimit: connectionsMax } = config
  return { getConnection: () => pool.getConnection(), place, connectionsMax }
}

/** A pool of `mysql2`, the user's own or the one inside another tool, as the store's driver. */
export class Mysql2Driver implements MyDriver<PoolConnection> {
  readonly name = 'mysql2'
  readonly #pool: MyPool
  #isClosed = false
  /** The connection behind each handle that was given out. */
  readonly #given = new WeakMap<object, { readonly core: Core; readonly guard: Guard }>()

  constructor(pool: MyPool) {
    this.#pool = pool
  }

  get database(): string | undefined {
    return this.#pool.place.database || undefined
  }

  /** One runs a handler, and one renews the leases meanwhile. */
  checkRoom(): void {
    assertRoom(this.#pool.connectionsMax, 2)
  }

  async query(text: string, params: readonly MyValue[]): Promise<MyAnswer> {
    const taken = await this.#take()
    const { core } = taken
    const session = sessionOf(taken)
    try {
      const answer = await ask(core, text, params)
      // The user's connections may be without autocommit: one statement is a transaction all the same.
      if (statusOf(core).isIn) await ask(core, 'commit', [])
      session.release()
      return answer
    } catch (error) {
      const isWhole = errorNumber(error) !== undefined && statusOf(core).isIn === false
      session.release(isWhole && !isReadOnly(error) ? undefined : error)
      throw error
    }
  }

  async session(): Promise<MySession> {
    return sessionOf(await this.#take())
  }

  async begin(): Promise<MyUserTransaction<PoolConnection>> {
    const taken = await this.#take()
    const { connection, core } = taken
    const transaction = await begun(sessionOf(taken), beginReadCommitted)
    const status = statusOf(core)
    const guard = new Guard(() => status.isIn)
    return { ...transaction, tx: this.guarded(connection as PoolConnection, guard), guard }
  }

  /** The connection itself, but for what would end the transaction behind Waybill's back, or go on after it. */
  guarded(connection: PoolConnection, guard: Guard): PoolConnection {
    const tx = guarded(connection, guard)
    this.#given.set(tx, { core: connection.connection as unknown as Core, guard })
    return tx
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
  async #take(): Promise<Taken> {
    if (this.#isClosed) throw new WaybillError('waybill.stopped', 'this Waybill was stopped; make a new one')
    const connection = await this.#pool.getConnection()
    const core = connection.connection as Core
    // Somebody gave it back in the middle of a transaction, or after an error that need not have ended it: the next BEGIN would commit it.
    if (statusOf(core).isIn !== false) await endLeftOpen(core, connection)
    return { connection, core }
  }

  /** The log must be in the database of the business change, or they would not commit together. */
  #isOfThisDatabase({ config }: Core): boolean {
    const { host, port, socketPath, database } = this.#pool.place
    return (
      config.host === host &&
      config.port === port &&
      config.socketPath === socketPath &&
      config.database === database
    )
  }
}

interface Taken {
  readonly connection: PooledConnection
  readonly core: Core
}

function sessionOf({ connection, core }: Taken): MySession {
  return {
    query: (text, params) => ask(core, text, params),
    release: (error) => (error === undefined ? connection.release() : connection.destroy()),
  }
}

async function endLeftOpen(core: Core, connection: PooledConnection): Promise<void> {
  try {
    await ask(core, 'rollback', [])
  } catch (error) {
    connection.destroy()
    throw error
  }
}

/** What is below a handle: of promises, or the one with callbacks. A pool has none: each of its queries may go over another. */
export function coreOf(handle: unknown): Core | undefined {
  const { connection, handlePacket } = (handle ?? {}) as Record<string, unknown>
  if (typeof handlePacket === 'function') return handle as Core
  return typeof (connection as Core | undefined)?.handlePacket === 'function'
    ? (connection as Core)
    : undefined
}
