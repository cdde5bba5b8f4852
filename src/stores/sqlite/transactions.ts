import { WaybillError, reasonOf } from '../../core/errors.ts'
import type { TransactionStages } from '../../core/database.ts'
import { isPromise } from '../../core/maybe-promise.ts'
import type { Ports } from '../../core/ports.ts'
import type { SqliteConnection, SqliteDriver, SqliteTx } from './driver.ts'
import { coded, codedAtCommit } from './errors.ts'
import { LazyTransaction } from './lazy-transaction.ts'
import type { WriteTurn } from './write-turn.ts'

/**
 * All of a process's Waybill transactions on one file: one write connection, one at a time.
 *
 * Waybill's own transactions are synchronous from BEGIN to COMMIT. A user's work runs in a `LazyTransaction`: it may await
 * freely until its first statement, which begins the transaction; from then on it holds the file's write lock, and whatever it
 * awaits must settle within the same event-loop turn. A lock held across real I/O would dead-lock the process: the next
 * synchronous BEGIN blocks the only thread that could finish the first.
 */
export class Transactions {
  readonly #connection: SqliteConnection
  readonly #driver: SqliteDriver
  readonly #ports: Ports
  readonly #turn: WriteTurn
  readonly #lazy = new WeakMap<object, LazyTransaction>()

  constructor(connection: SqliteConnection, turn: WriteTurn, driver: SqliteDriver, ports: Ports) {
    this.#connection = connection
    this.#turn = turn
    this.#driver = driver
    this.#ports = ports
  }

  /** The transaction behind a handle that Waybill gave out. */
  of(tx: object): LazyTransaction | undefined {
    return this.#lazy.get(tx)
  }

  /** One of Waybill's own transactions: `work` must be synchronous. */
  async write<R>(work: (connection: SqliteConnection) => R): Promise<R> {
    const release = await this.#turn.take()
    try {
      this.#connection.exec('begin immediate')
      const result = work(this.#connection)
      this.#connection.exec('commit')
      return result
    } catch (error) {
      throw coded(this.#driver, error, {})
    } finally {
      try {
        if (this.#connection.isTransaction) this.#connection.exec('rollback')
      } finally {
        release()
      }
    }
  }

  /** A transaction around a user's work. See `OpenDatabase.transaction`. */
  async run<R>(stages: TransactionStages<SqliteTx, R>): Promise<R> {
    const transaction = new LazyTransaction(this.#connection, this.#turn, this.#ports.clock, (tx) =>
      mustBeSync(stages.opened?.(tx)),
    )
    this.#lazy.set(transaction.handle, transaction)
    await transaction.enter()
    let result: R
    try {
      result = await stages.work(transaction.handle)
      await transaction.beginUnlessBegun()
      mustBeSync(stages.closing?.(transaction.handle, result))
      transaction.commit()
    } catch (error) {
      const cause = transaction.failure ?? error
      throw transaction.isCommitting ? codedAtCommit(this.#driver, cause) : coded(this.#driver, cause, {})
    } finally {
      transaction.leave()
    }
    this.#runAfterCommit(transaction)
    return result
  }

  #runAfterCommit(transaction: LazyTransaction): void {
    for (const work of transaction.afterCommit) {
      const failed = (error: unknown): void =>
        this.#ports.log.error({ err: error }, `work registered with afterCommit failed: ${reasonOf(error)}`)
      try {
        const running = work()
        if (running && isPromise(running)) running.catch(failed)
      } catch (error) {
        failed(error)
      }
    }
  }
}

function mustBeSync(value: unknown): void {
  if (!isPromise(value)) return
  // How it ends no longer matters, and must not surface as an unhandled rejection.
  value.catch(() => {})
  throw new WaybillError(
    'store.transaction-left-open',
    'a stage of a SQLite transaction answered a promise; it must be synchronous',
  )
}
