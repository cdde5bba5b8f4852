import { WaybillError } from '../../core/errors.ts'
import type { Clock } from '../../core/clock.ts'
import type { SqliteConnection, SqliteStatement, SqliteTx } from './driver.ts'
import { controlsTransaction } from './script.ts'
import type { WriteTurn } from './write-turn.ts'

/**
 * A transaction that begins with its first statement.
 *
 *   waiting ──enter──▶ entered ──statement──▶ begun ──commit──▶ over
 *                        │ turn over, nothing begun      │ turn over, still open: rolled back, `store.transaction-left-open`
 *                        ▼                               ▼
 *                     aside ──statement──▶ begun        over
 *
 * While *aside* others may write; the first statement then takes the turn again if it is free and otherwise fails with
 * `store.busy`, because a synchronous statement cannot wait for another transaction of the same thread.
 */
export class LazyTransaction {
  readonly handle: SqliteTx
  readonly afterCommit: (() => void | Promise<void>)[] = []
  /** From here on an error leaves open what became of it. */
  isCommitting = false
  /** Why the transaction cannot commit any more. Kept, because user code may catch what a statement threw. */
  failure: unknown
  readonly #connection: SqliteConnection
  readonly #turn: WriteTurn
  readonly #clock: Clock
  readonly #opened: (tx: SqliteTx) => void
  #release: (() => void) | undefined
  #cancelAfterTurn: (() => void) | undefined
  #state: 'waiting' | 'entered' | 'aside' | 'begun' | 'over' = 'waiting'

  constructor(connection: SqliteConnection, turn: WriteTurn, clock: Clock, opened: (tx: SqliteTx) => void) {
    this.#connection = connection
    this.#turn = turn
    this.#clock = clock
    this.#opened = opened
    this.handle = {
      prepare: (sql) => this.#prepare(sql),
      exec: (sql) => this.#statement(sql, () => this.#connection.exec(sql)),
    }
  }

  async enter(): Promise<void> {
    this.#hold(await this.#turn.take())
  }

  /** @throws WaybillError why it cannot be used any more */
  assertUsable(): void {
    if (this.failure !== undefined) throw this.failure
    if (this.#state === 'over') throw closed()
  }

  /** The connection, inside the transaction: begins it if need be. */
  open(): SqliteConnection {
    this.assertUsable()
    if (this.#state !== 'begun') this.#begin()
    return this.#connection
  }

  async beginUnlessBegun(): Promise<void> {
    if (this.#state === 'aside') this.#hold(await this.#turn.take())
    this.open()
  }

  commit(): void {
    if (this.failure !== undefined) throw this.failure
    if (this.#state !== 'begun' || !this.#connection.isTransaction) throw this.#fail(endedByUser())
    this.isCommitting = true
    this.#connection.exec('commit')
    this.#state = 'over'
  }

  /** Ends whatever is still open, and gives the turn back. */
  leave(): void {
    this.#cancelAfterTurn?.()
    const begun = this.#state === 'begun'
    this.#state = 'over'
    try {
      if (begun && this.#connection.isTransaction) this.#connection.exec('rollback')
    } finally {
      this.#release?.()
    }
  }

  #hold(release: () => void): void {
    this.#release = release
    this.#state = 'entered'
    this.#turn.mayStepAside(() => this.#stepAside())
    this.#cancelAfterTurn = this.#clock.afterTurn(() => this.#turnIsOver())
  }

  /** Another has taken the turn over. */
  #stepAside(): void {
    this.#state = 'aside'
    this.#cancelAfterTurn?.()
    this.#release = undefined
  }

  #turnIsOver(): void {
    if (this.#state === 'entered') {
      this.#state = 'aside'
      this.#release?.()
      this.#release = undefined
    }
    if (this.#state !== 'begun') return
    this.#fail(
      new WaybillError(
        'store.transaction-left-open',
        'a SQLite transaction was left open across an event-loop turn and was rolled back; after the first statement await nothing that needs I/O or a timer: do that before the first statement, or after the transaction',
      ),
    )
    this.leave()
  }

  #begin(): void {
    if (this.#state === 'aside') {
      const release = this.#turn.tryTake()
      if (!release)
        throw this.#fail(
          new WaybillError(
            'store.busy',
            'another transaction of this process is open on the file; run the work again',
            { inProcess: true },
          ),
        )
      this.#hold(release)
    }
    this.#turn.mayStepAside(undefined)
    try {
      this.#connection.exec('begin immediate')
      this.#state = 'begun'
      this.#opened(this.handle)
    } catch (error) {
      throw this.#fail(error)
    }
  }

  #fail(error: unknown): unknown {
    this.failure ??= error
    return this.failure
  }

  #prepare(sql: string): SqliteStatement {
    // Prepared when first run: preparing is no statement, and must not begin the transaction.
    let prepared: SqliteStatement | undefined
    const run = <R>(how: (statement: SqliteStatement) => R): R =>
      this.#statement(sql, (connection) => how((prepared ??= connection.prepare(sql))))
    return {
      run: (...params) => run((statement) => statement.run(...params)),
      get: (...params) => run((statement) => statement.get(...params)),
      all: (...params) => run((statement) => statement.all(...params)),
      // Read at once: a cursor that is still open would outlive the transaction.
      iterate: (...params) => run((statement) => statement.all(...params)).values(),
    }
  }

  #statement<R>(sql: string, run: (connection: SqliteConnection) => R): R {
    if (controlsTransaction(sql)) throw this.#fail(endedByUser())
    const connection = this.open()
    let result: R
    try {
      result = run(connection)
    } catch (error) {
      // A full disk or an I/O error makes SQLite roll back by itself; the user's code must not go on as if it had not.
      if (!connection.isTransaction) this.#fail(error)
      throw error
    }
    if (!connection.isTransaction) throw this.#fail(endedByUser())
    return result
  }
}

function endedByUser(): WaybillError {
  return new WaybillError(
    'store.transaction-control',
    'BEGIN, COMMIT, END, ROLLBACK and ATTACH are refused inside a transaction of Waybill: it commits when the work returns and rolls back when it throws',
  )
}

function closed(): WaybillError {
  return new WaybillError(
    'store.transaction-closed',
    'this transaction is over; use `tx` only until the handler or callback returns',
  )
}
