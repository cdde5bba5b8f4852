import type { TransactionStages } from '../../core/database.ts'
import { WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { MyConnection, type StatementTexts } from './connection.ts'
import type { MyDriver, MySession, MyTransaction } from './driver.ts'
import { coded, codedAtCommit, codedOfWork } from './errors.ts'
import { OwnConnection } from './zombies.ts'

/**
 * Waybill sets the isolation of its transactions itself, for each: under the default, REPEATABLE READ, a statement after a lock still
 * sees what was before it, and locks gaps that others insert into (P10).
 */
export const beginReadCommitted = ['set transaction isolation level read committed', 'start transaction']
const beginSnapshot = [
  'set transaction isolation level repeatable read',
  'start transaction with consistent snapshot, read only',
]

/** What is known of a transaction that Waybill opened. */
interface Own {
  isOpen: boolean
  readonly afterCommit: (() => void | Promise<void>)[]
}

/** Transactions over one MySQL library, each on a connection of its own. */
export class Transactions<Tx> {
  readonly #driver: MyDriver<Tx>
  readonly #texts: StatementTexts
  readonly #ports: Ports
  readonly #own = new WeakMap<object, Own>()

  constructor(driver: MyDriver<Tx>, texts: StatementTexts, ports: Ports) {
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
  async write<R>(work: (connection: MyConnection) => Promise<R>): Promise<R> {
    return this.#runOwn(beginReadCommitted, work)
  }

  /** See `MyAccess.snapshot`. */
  async snapshot<R>(work: (connection: MyConnection) => Promise<R>): Promise<R> {
    return this.#runOwn(beginSnapshot, work)
  }

  async #runOwn<R>(beginning: readonly string[], work: (connection: MyConnection) => Promise<R>): Promise<R> {
    const transaction = await opened(async () => begun(await this.#driver.session(), beginning))
    const aside = new MyConnection(this.#driver, this.#texts)
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
        guard.checkAlive()
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

/** A transaction whose connection need not go back to its pool. */
interface Discardable extends MyTransaction {
  /** Closes the connection at the end: it leads to a server that takes no writes, while a new one may lead elsewhere. */
  discard?(): void
}

/** Begins a transaction on a session, to be ended with statements. */
export async function begun(session: MySession, beginning: readonly string[]): Promise<Discardable> {
  try {
    for (const statement of beginning) await session.query(statement, [])
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
    commit: () => releasing(session, 'commit'),
    // When the connection is gone, its server rolls back.
    rollBack: () => releasing(session, 'rollback', unfit).catch(() => {}),
  }
}

async function releasing(session: MySession, statement: string, unfit?: Error): Promise<void> {
  try {
    await session.query(statement, [])
  } catch (error) {
    session.release(error)
    throw error
  }
  session.release(unfit)
}

async function opened<T>(begin: () => Promise<T>): Promise<T> {
  try {
    return await begin()
  } catch (error) {
    throw coded(error)
  }
}

async function ended<R>(transaction: Discardable, work: () => Promise<R>): Promise<R> {
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

export function noTransaction(): WaybillError {
  return new WaybillError(
    'publish.no-transaction',
    'the handle is in no transaction, so the message could be stored without the business change or the other way round; begin one, use waybill.transaction, or say publishNow',
  )
}
