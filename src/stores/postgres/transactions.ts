import type { TransactionStages } from '../../core/database.ts'
import { WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { PgConnection, type StatementTexts } from './connection.ts'
import type { PgAnswer, PgDriver, PgSession, PgTransaction, PgValue } from './driver.ts'
import { coded, codedAtCommit, codedOfWork } from './errors.ts'
import { OwnConnection } from './zombies.ts'

/** Waybill sets the isolation of its transactions itself: a server or role may have another default (P9). */
export const readCommitted = 'isolation level read committed'
export const beginReadCommitted = `begin ${readCommitted}`
const beginSnapshot = 'begin isolation level repeatable read read only'

/** What is known of a transaction that Waybill opened. */
interface Own {
  isOpen: boolean
  readonly afterCommit: (() => void | Promise<void>)[]
}

/** Transactions over one PostgreSQL library, each on a connection of its own. */
export class Transactions<Tx> {
  readonly #driver: PgDriver<Tx>
  readonly #texts: StatementTexts
  readonly #ports: Ports
  readonly #own = new WeakMap<object, Own>()

  constructor(driver: PgDriver<Tx>, texts: StatementTexts, ports: Ports) {
    this.#driver = driver
    this.#texts = texts
    this.#ports = ports
  }

  /** What is known of the transaction behind a handle that Waybill gave out, if one is open on it now. */
  of(tx: object): Own | undefined {
    const own = this.#own.get(tx)
    return own?.isOpen ? own : undefined
  }

  /** One of Waybill's own transactions. */
  async write<R>(work: (connection: PgConnection) => Promise<R>): Promise<R> {
    return this.#runOwn(beginReadCommitted, work)
  }

  /** See `PgAccess.snapshot`. */
  async snapshot<R>(work: (connection: PgConnection) => Promise<R>): Promise<R> {
    return this.#runOwn(beginSnapshot, work)
  }

  async #runOwn<R>(beginning: string, work: (connection: PgConnection) => Promise<R>): Promise<R> {
    const transaction = await opened(async () => begun(await this.#driver.session(), beginning))
    const aside = new PgConnection(this.#driver, this.#texts)
    return ended(transaction, () => work(new OwnConnection(transaction, this.#texts, aside, this.#ports)))
  }

  /** A transaction around a user's work. See `OpenDatabase.transaction`. */
  async run<R>(stages: TransactionStages<Tx, R>): Promise<R> {
    const own: Own = { isOpen: true, afterCommit: [] }
    const transaction = await opened(() => this.#driver.begin())
    const { tx, guard } = transaction
    this.#own.set(tx as object, own)
    const result = await ended(transaction, async () => {
      try {
        await stages.opened?.(tx)
        const answer = await stages.work(tx)
        await stages.closing?.(tx, answer)
        if (guard.failure) throw guard.failure
        return answer
      } catch (error) {
        throw guard.failure ?? error
      } finally {
        own.isOpen = false
        guard.isOver = true
      }
    })
    this.#runAfterCommit(own)
    return result
  }

  #runAfterCommit({ afterCommit }: Own): void {
    for (const work of afterCommit) {
      const failed = (error: unknown): void =>
        this.#ports.log.error({ err: error }, `work registered with afterCommit failed: ${reasonOf(error)}`)
      void (async () => work())().catch(failed)
    }
  }
}

export const rollback = 'rollback'

/** Does nothing, and is refused in a transaction that has failed. */
export const probe = 'values (1)'

/** The process of the server that is behind a connection. */
export const backendPid = 'select pg_backend_pid() as pid'

/** Whether the tag that a COMMIT was answered with says that nothing was committed. */
export function saysRolledBack(command: string | undefined): boolean {
  return command === 'ROLLBACK'
}

/** One statement in a transaction of its own, for libraries that take several in one text. */
export function aloneScript(statement: string): string {
  return `${beginReadCommitted}; ${statement}; commit`
}

/** A transaction whose connection need not go back to its pool. */
interface Discardable extends PgTransaction {
  /** Closes the connection at the end: it leads to a server that takes no writes, while a new one may lead elsewhere. */
  discard?(): void
}

/** Begins a transaction on a session, to be ended with statements. */
export async function begun(session: PgSession, beginning: string): Promise<Discardable> {
  try {
    await session.query(beginning, [])
  } catch (error) {
    session.release(error)
    throw error
  }
  let unfit: Error | undefined
  return {
    query: (text, params) => session.query(text, params),
    discard: () => {
      unfit = new Error('the server takes no writes')
    },
    commit: async () => {
      const { command } = await lastOn(session, 'commit')
      if (saysRolledBack(command)) throw rolledBackAtCommit()
    },
    // When the connection is gone, its server rolls back.
    rollBack: () => lastOn(session, rollback, [], unfit).then(noAnswer, noAnswer),
  }
}

const noAnswer = (): void => {}

/** The last statement on a session, which is given back with it; as unusable, if the statement fails or the session is unfit. */
export async function lastOn(
  session: PgSession,
  statement: string,
  params: readonly PgValue[] = [],
  unfit?: Error,
): Promise<PgAnswer> {
  try {
    const answer = await session.query(statement, params)
    session.release(unfit)
    return answer
  } catch (error) {
    session.release(error)
    throw error
  }
}

async function opened<T>(begin: () => Promise<T>): Promise<T> {
  try {
    return await begin()
  } catch (error) {
    throw coded(error)
  }
}

/** Does the work, and ends the transaction: the work's failure and that of COMMIT are told apart. */
export async function ended<R>(transaction: Discardable, work: () => Promise<R>): Promise<R> {
  let result: R
  try {
    result = await work()
  } catch (thrown) {
    const error = codedOfWork(thrown)
    if (isWaybillError(error, 'store.read-only')) transaction.discard?.()
    await transaction.rollBack()
    throw error
  }
  try {
    await transaction.commit()
  } catch (error) {
    throw codedAtCommit(error)
  }
  return result
}

/** PostgreSQL answers the COMMIT of a failed transaction with success, and rolls back. */
export function rolledBackAtCommit(): WaybillError {
  return new WaybillError(
    'store.transaction-failed',
    'a statement failed and its error was swallowed, so PostgreSQL rolled the transaction back at COMMIT; let the error out, or use a savepoint around a statement that may fail',
  )
}

export function noTransaction(): WaybillError {
  return new WaybillError(
    'publish.no-transaction',
    'the handle is in no transaction, so the message could be stored without the business change or the other way round; begin one, use waybill.transaction, or say publishNow',
  )
}
