import type { PoolClient } from 'pg'
import { EndingGuard, Guard } from '../stores/postgres/control.ts'
import type { PgTransaction, PgUserTransaction } from '../stores/postgres/driver.ts'
import { type PgPoolDriver, committing } from './pg-pool.ts'

/** A transaction that a tool has begun on a client of its own pool. */
export interface LentClient<Tx> extends Omit<PgTransaction, 'query'> {
  readonly tx: Tx
  readonly client: PoolClient
  /** Has the tool run everything in this transaction over another client: the same one, but guarded. */
  put(client: PoolClient): void
}

/** Guards a tool's transaction at the one place that all of its statements go through. */
export function guardLent<Tx>(driver: PgPoolDriver, lent: LentClient<Tx>): PgUserTransaction<Tx> {
  const { tx, client } = lent
  const guard = new Guard()
  const guarded = driver.guarded(client, guard)
  // A connection that breaks while it is checked out would otherwise end the process with an unhandled 'error'.
  const ignore = (): void => {}
  client.on('error', ignore)
  lent.put(guarded)
  const end = async (how: 'commit' | 'rollBack'): Promise<void> => {
    lent.put(driver.guarded(client, new EndingGuard()))
    try {
      await lent[how]()
    } finally {
      // Whoever kept the handle must not reach the connection, which is somebody else's by now.
      lent.put(guarded)
      client.removeListener('error', ignore)
    }
  }
  return {
    tx,
    guard,
    query: (text, params) => driver.adopt(guarded)!.runner.query(text, params),
    commit: () => committing(client, () => end('commit')),
    rollBack: () => end('rollBack').catch(() => {}),
  }
}
