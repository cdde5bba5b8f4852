import type { Pool } from 'pg'
import type { WaybillError } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import { Guard } from '../stores/postgres/control.ts'
import { type PgAdopted, type PgUserTransaction, sqlState } from '../stores/postgres/driver.ts'
import { coded, isConnectionLost } from '../stores/postgres/errors.ts'
import { noTransaction, probe, rolledBackAtCommit } from '../stores/postgres/transactions.ts'
import { adoptedRoot } from './adopted.ts'
import { beginInCallback } from './callback-transaction.ts'
import { type PgPool, PgPoolDriver } from './pg-pool.ts'
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
import { ToolDriver } from './tool-driver.ts'

const failedTransaction = '25P02'

export class PrismaPostgresDriver<Tx> extends ToolDriver<Tx> {
  readonly name = 'prisma'
  readonly #client: AnyPrisma
  readonly #adapter: AdapterFactory
  readonly #pool: AdapterPool<Pool>
  readonly #times: PrismaTimes
  readonly #given = new WeakMap<object, Guard>()

  constructor(client: AnyPrisma, times: PrismaTimes, ports: Ports) {
    const adapter = adapterOf(client)
    const pool = new AdapterPool<Pool>(adapter)
    super(new PgPoolDriver(asPgPool(pool), ports))
    this.#client = client
    this.#adapter = adapter
    this.#pool = pool
    this.#times = times
  }

  async begin(): Promise<PgUserTransaction<Tx>> {
    this.assertOpen()
    const guard = new Guard()
    const failed = (server: unknown): void => {
      if (isConnectionLost(server)) guard.failure ??= coded(server) as WaybillError
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
      commit: async () => {
        guard.isOver = false
        try {
          // Prisma does not tell that COMMIT rolled a failed transaction back; the server refuses this in one.
          await askPrisma(tx, probe, [])
        } catch (error) {
          await rollBack()
          throw sqlState(error) === failedTransaction ? rolledBackAtCommit() : coded(error)
        } finally {
          guard.isOver = true
        }
        await commit().catch((error: unknown) => {
          throw ofServer(error)
        })
      },
      rollBack,
    }
  }

  adopt(handle: unknown): PgAdopted | undefined {
    if (!isPrisma(handle) || handle._engineConfig?.adapter !== this.#adapter) return undefined
    if (handle.$connect !== undefined) return adoptedRoot
    const guard = this.#given.get(handle)
    return {
      runner: {
        query: async (text, params) => {
          guard?.checkOpen()
          return askPrisma(handle, text, params).catch((error: unknown) => {
            throw isTransactionClosed(error) ? noTransaction() : error
          })
        },
      },
      isInTransaction: () => {
        guard?.checkOpen()
        return true
      },
    }
  }

  override async close(): Promise<void> {
    await super.close()
    await this.#pool.close()
  }
}

/** The adapter's pool, which is there only once it has connected. */
function asPgPool(pool: AdapterPool<Pool>): PgPool {
  return {
    connect: async () => (await pool.get()).connect(),
    query: (async (config: never) => (await pool.get()).query(config)) as PgPool['query'],
    options: {},
    get Client(): never {
      throw new Error('adopt() compares adapters itself')
    },
  }
}
