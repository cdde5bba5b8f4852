import type { Kysely, Transaction } from 'kysely'
import { EndingGuard, Guard } from '../stores/postgres/control.ts'
import type {
  PgAdopted,
  PgAnswer,
  PgDriver,
  PgRow,
  PgSession,
  PgUserTransaction,
  PgValue,
} from '../stores/postgres/driver.ts'
import { coded } from '../stores/postgres/errors.ts'
import { beginReadCommitted, begun, ended, rolledBackAtCommit } from '../stores/postgres/transactions.ts'
import { adoptedRoot, stopped } from './adopted.ts'
import { beginInCallback } from './callback-transaction.ts'
import { type AnyKysely, askKysely, guardConnection, isKysely, pluginOf } from './kysely-connection.ts'

export class KyselyPostgresDriver<Tables> implements PgDriver<Transaction<Tables>> {
  readonly name = 'kysely'
  readonly #db: Kysely<Tables>
  /** Transactions that were given out. */
  readonly #given = new WeakMap<object, Guard>()
  #isClosed = false

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async query(text: string, params: readonly PgValue[]): Promise<PgAnswer> {
    this.#assertOpen()
    return askKysely(this.#db, text, params)
  }

  async session(): Promise<PgSession> {
    this.#assertOpen()
    const { tx, commit } = await beginInCallback<AnyKysely>(
      (callback) => this.#db.connection().execute(callback),
      coded,
    )
    return {
      query: (text, params) => askKysely(tx, text, params),
      release: () => void commit().catch(() => {}),
    }
  }

  async begin(): Promise<PgUserTransaction<Transaction<Tables>>> {
    this.#assertOpen()
    const opened = await this.#db.startTransaction().setIsolationLevel('read committed').execute()
    const guard = new Guard()
    const connection = await guardConnection(opened, guard, new EndingGuard())
    // The plugin sees what is built; Kysely itself refuses what runs on a transaction that has ended.
    const tx = opened.withPlugin(pluginOf(guard))
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
      query: (text, params) => askKysely(opened, text, params),
      commit: () =>
        end('commit').catch((error: unknown) => {
          throw (error as Error).name === 'AbortedTransactionError' ? rolledBackAtCommit() : error
        }),
      rollBack: () => end('rollback').catch(() => {}),
    }
  }

  adopt(handle: unknown): PgAdopted | undefined {
    if (!isKysely(handle)) return undefined
    if (!handle.isTransaction) return adoptedRoot
    const guard = this.#given.get(handle)
    return {
      runner: {
        query: async (text, params) => {
          guard?.checkOpen()
          return askKysely(handle, text, params)
        },
      },
      isInTransaction: () => {
        guard?.checkOpen()
        return true
      },
    }
  }

  /** Kysely gives no connection that would tell of notifications. */
  listen(): () => void {
    return () => {}
  }

  async alone(text: string): Promise<readonly PgRow[]> {
    const transaction = await begun(await this.session(), beginReadCommitted)
    return ended(transaction, async () => (await transaction.query(text, [])).rows)
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** The `db` is the user's, and goes on without Waybill. */
  #assertOpen(): void {
    if (this.#isClosed) throw stopped()
  }
}
