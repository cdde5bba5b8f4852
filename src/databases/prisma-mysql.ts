import type { WaybillError } from '../core/errors.ts'
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
import { coded, isConnectionLost } from '../stores/mysql/errors.ts'
import { noTransaction } from '../stores/mysql/transactions.ts'
import { adoptedRoot, stopped } from './adopted.ts'
import { beginInCallback } from './callback-transaction.ts'
import { type MariadbPool, MariadbRunner } from './mariadb-driver.ts'
import {
  type AdapterFactory,
  type AnyPrisma,
  type PrismaTimes,
  adapterOf,
  askPrisma,
  isPrisma,
  isTransactionClosed,
  looking,
  ofServer,
} from './prisma-client.ts'
import { AdapterPool } from './prisma-pool.ts'

/** After these the server has rolled the transaction back, or may have. */
const endsTransaction = new Set<number | undefined>([1205, 1213, 1020])

export class PrismaMysqlDriver<Tx> implements MyDriver<Tx> {
  readonly name = 'prisma'
  /** Prisma does not show it: `options.schema` says it. */
  readonly database = undefined
  readonly #client: AnyPrisma
  readonly #adapter: AdapterFactory
  readonly #pool: AdapterPool<MariadbPool>
  readonly #own: MariadbRunner
  readonly #times: PrismaTimes
  readonly #given = new WeakMap<object, Guard>()
  #isClosed = false

  constructor(client: AnyPrisma, times: PrismaTimes) {
    const adapter = adapterOf(client)
    this.#client = client
    this.#adapter = adapter
    this.#pool = new AdapterPool(adapter)
    this.#own = new MariadbRunner(() => this.#pool.get())
    this.#times = times
  }

  async query(text: string, params: readonly MyValue[]): Promise<MyAnswer> {
    this.#assertOpen()
    return this.#own.query(text, params)
  }

  async session(): Promise<MySession> {
    this.#assertOpen()
    return this.#own.session()
  }

  async begin(): Promise<MyUserTransaction<Tx>> {
    this.#assertOpen()
    const guard = new Guard(() => true)
    const failed = (server: unknown): void => {
      if (endsTransaction.has(errorNumber(server)) || isConnectionLost(server))
        guard.failure ??= coded(server) as WaybillError
    }
    const client = looking(this.#client, (text) => guard.check(text), failed)
    const options = { ...this.#times, isolationLevel: 'ReadCommitted' }
    const { tx, commit, rollBack } = await beginInCallback<AnyPrisma>(
      (callback) => client.$transaction(callback, options),
      (error) => coded(ofServer(error)),
    )
    this.#given.set(tx, guard)
    return {
      tx: tx as Tx,
      guard,
      query: (text, params) => askPrisma(tx, text, params),
      commit: () =>
        commit().catch((error: unknown) => {
          throw ofServer(error)
        }),
      rollBack,
    }
  }

  adopt(handle: unknown): MyAdopted | undefined {
    if (!isPrisma(handle) || handle._engineConfig?.adapter !== this.#adapter) return undefined
    if (handle.$connect !== undefined) return adoptedRoot
    const guard = this.#given.get(handle)
    return {
      runner: {
        query: async (text, params) => {
          guard?.check('')
          try {
            if (!guard) await assertAlive(handle)
            return await askPrisma(handle, text, params)
          } catch (error) {
            throw isTransactionClosed(error) ? noTransaction() : error
          }
        },
      },
      isInTransaction: () => {
        guard?.check('')
        return true
      },
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#pool.close()
  }

  /** The client is the user's, and goes on without Waybill. */
  #assertOpen(): void {
    if (this.#isClosed) throw stopped()
  }
}

const noSuchSavepoint = 1305

/**
 * Prisma takes a transaction for open that a deadlock or DDL has ended, and does not show its connection, which would know. A savepoint is
 * gone at once where there is no transaction.
 */
async function assertAlive(tx: AnyPrisma): Promise<void> {
  try {
    await tx.$transaction(async () => {})
  } catch (error) {
    throw errorNumber(ofServer(error)) === noSuchSavepoint ? noTransaction() : error
  }
}
