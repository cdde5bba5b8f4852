import type { PoolConnection } from 'mysql2/promise'
import type { WaybillError } from '../core/errors.ts'
import { Guard } from '../stores/mysql/control.ts'
import { type MyUserTransaction, errorNumber } from '../stores/mysql/driver.ts'
import { coded, isConnectionLost } from '../stores/mysql/errors.ts'
import { EndingGuard } from './mysql-ending.ts'
import { ask } from './mysql2-answers.ts'
import type { Mysql2Driver } from './mysql2-pool.ts'
import { type Core, statusOf } from './mysql2-status.ts'

/** A transaction that a tool has begun on a connection of its own pool. */
export interface LentConnection<Tx> {
  readonly tx: Tx
  readonly connection: PoolConnection
  /** Has the tool run everything in this transaction over another connection: the same one, but guarded. */
  put(connection: PoolConnection): void
  commit(): Promise<void>
  rollBack(): Promise<void>
}

/** Guards a tool's transaction at the one place that all of its statements go through. */
export function guardLent<Tx>(driver: Mysql2Driver, lent: LentConnection<Tx>): MyUserTransaction<Tx> {
  const { tx, connection } = lent
  const core = connection.connection as unknown as Core
  const status = statusOf(core)
  const guard = new Guard(() => status.isIn)
  const given = driver.guarded(
    noting(connection, (error) => {
      // Some tools wrap it into an error of their own, which does not tell any more.
      if (errorNumber(error) === deadlock || isConnectionLost(error))
        guard.failure ??= coded(error) as WaybillError
    }),
    guard,
  )
  lent.put(given)
  const end = async (how: 'commit' | 'rollBack'): Promise<void> => {
    let failure: unknown
    const noted = noting(connection, (error) => {
      failure ??= error
    })
    lent.put(ending(noted))
    try {
      await lent[how]()
    } catch (error) {
      // Of what the tool makes of it, some is about the ROLLBACK that it sends afterwards.
      throw failure ?? error
    } finally {
      // Whoever kept the handle must not reach the connection, which is somebody else's by now.
      lent.put(given)
    }
  }
  return {
    tx,
    guard,
    query: (text, params) => ask(core, text, params),
    commit: () => end('commit'),
    // When the connection is gone, its server rolls back.
    rollBack: () => end('rollBack').catch(() => {}),
  }
}

const deadlock = 1213
const over = new EndingGuard()

/** The connection for the tool's own COMMIT or ROLLBACK, and for giving it back. */
function ending(connection: PoolConnection): PoolConnection {
  return withStatements(connection, async (run, args) => {
    const [first] = args
    over.check(typeof first === 'string' ? first : (first as { sql: string }).sql)
    return run(...args)
  })
}

/** The connection, whose failures are told. */
function noting(connection: PoolConnection, failed: (error: unknown) => void): PoolConnection {
  return withStatements(connection, async (run, args) => {
    try {
      return await run(...args)
    } catch (error) {
      failed(error)
      throw error
    }
  })
}

type Run = (...args: readonly unknown[]) => Promise<unknown>

function withStatements(
  connection: PoolConnection,
  statement: (run: Run, args: readonly unknown[]) => Promise<unknown>,
): PoolConnection {
  return new Proxy(connection, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const run = value.bind(target) as Run
      return name === 'query' || name === 'execute'
        ? (...args: readonly unknown[]) => statement(run, args)
        : run
    },
  })
}
