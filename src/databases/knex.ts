import type { Knex } from 'knex'
import type { PoolClient } from 'pg'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import { EndingGuard, Guard } from '../stores/postgres/control.ts'
import type { PgAdopted, PgUserTransaction } from '../stores/postgres/driver.ts'
import { type PostgresOptions, openPostgres } from '../stores/postgres/open.ts'
import { adoptedRoot } from './adopted.ts'
import { type PgPool, PgPoolDriver, committing, guardedQuery } from './pg-pool.ts'
import { ToolDriver } from './tool-driver.ts'

export type { PostgresOptions } from '../stores/postgres/open.ts'

/**
 * PostgreSQL 14 or later through Knex with the client `pg`. `publish` takes the `trx` of `knex.transaction`; handlers and
 * `waybill.transaction` give you one of that kind.
 *
 * @param db yours: Waybill takes connections from its pool and never destroys it. Leave it room for one connection per running handler and three more
 * @param options.schema where Waybill's tables are; default 'public'
 * @throws WaybillError `config.invalid` for a Knex of another database
 */
export function knex(db: Knex, options: PostgresOptions = {}): Database<Knex.Transaction, 'async'> {
  return {
    mode: 'async',
    dialect: 'postgres',
    open: (ports, open) => openPostgres(new KnexDriver(db, ports), options, ports, open),
  }
}

type Query = (...args: readonly unknown[]) => unknown
type RawClient = PoolClient & { __knex__disposed?: unknown }

/** What is needed of `knex.client`; that of a transaction answers its one connection. */
interface KnexClient {
  readonly config: { readonly client?: unknown }
  readonly driver: { readonly Client: PgPool['Client'] }
  readonly connectionSettings: Readonly<Record<'host' | 'port' | 'database', unknown>>
  acquireConnection(): Promise<RawClient>
  releaseConnection(connection: RawClient): Promise<void>
  query(connection: RawClient, statement: unknown): Promise<unknown>
}

class KnexDriver extends ToolDriver<Knex.Transaction> {
  readonly name = 'knex'
  readonly #knex: Knex
  readonly #given = new WeakMap<object, Guard>()

  constructor(db: Knex, ports: Ports) {
    super(new PgPoolDriver(poolOf(db.client as KnexClient), ports))
    this.#knex = db
  }

  async begin(): Promise<PgUserTransaction<Knex.Transaction>> {
    this.assertOpen()
    const tx = await this.#knex.transaction(null as never, { isolationLevel: 'read committed' })
    const client = await clientOf(tx).acquireConnection()
    const guard = new Guard()
    this.#given.set(tx, guard)
    const guarding = guardConnection(client, guard)
    refuseWhenCompleted(tx, guard)
    const end = async (how: 'commit' | 'rollback'): Promise<void> => {
      guarding.letEnd()
      try {
        await tx[how]()
        if (how === 'commit') await tx.executionPromise
      } finally {
        guarding.stop()
      }
    }
    return {
      tx,
      guard,
      query: (text, params) => this.base.adopt(client)!.runner.query(text, params),
      commit: () => committing(client, () => end('commit')),
      // When the connection is gone, its server rolls back.
      rollBack: () => end('rollback').catch(() => {}),
    }
  }

  adopt(handle: unknown): PgAdopted | undefined {
    const { isTransaction, client } = (handle ?? {}) as Partial<Knex.Transaction>
    if (typeof handle !== 'function' || !client) return undefined
    if (!isTransaction) return adoptedRoot
    const tx = handle as unknown as Knex.Transaction
    if (placeOf(clientOf(tx)) !== placeOf(this.#knex.client as KnexClient)) return undefined
    const guard = this.#given.get(tx)
    const adopted = async (): Promise<PgAdopted> => this.base.adopt(await clientOf(tx).acquireConnection())!
    return {
      runner: {
        query: async (text, params) => {
          guard?.checkOpen()
          return (await adopted()).runner.query(text, params)
        },
      },
      isInTransaction: () => {
        guard?.checkOpen()
        return !tx.isCompleted()
      },
      onceEnded: (ended) => void adopted().then(({ onceEnded }) => onceEnded?.(ended), ended),
    }
  }
}

/** The log must be in the database of the business change, or they would not commit together. */
function placeOf({ connectionSettings: { host, port, database } }: KnexClient): string {
  return JSON.stringify([host, port, database])
}

/** While the transaction is open, Knex has nothing else on its connection. */
function guardConnection(client: RawClient, guard: Guard): { letEnd(): void; stop(): void } {
  const run = client.query as Query
  const own = Object.getOwnPropertyDescriptor(client, 'query')
  let now = guard
  Object.defineProperty(client, 'query', {
    configurable: true,
    value: (...args: readonly unknown[]) => guardedQuery(client, now, args, run),
  })
  return {
    letEnd: () => {
      now = new EndingGuard()
    },
    stop: () => {
      if (own) Object.defineProperty(client, 'query', own)
      else Reflect.deleteProperty(client, 'query')
    },
  }
}

/** Knex refuses them too, with an error of its own. */
function refuseWhenCompleted(tx: Knex.Transaction, guard: Guard): void {
  const client = clientOf(tx)
  const query = client.query.bind(client)
  client.query = async (connection, statement) => {
    if (tx.isCompleted()) guard.checkOpen()
    return query(connection, statement)
  }
}

function clientOf(tx: Knex.Transaction): KnexClient {
  return tx.client as KnexClient
}

/** Knex's pool as one of `pg`. */
function poolOf(client: KnexClient): PgPool {
  if (!/^(?:pg|postgres|postgresql)$/.test(String(client.config.client)))
    throw new WaybillError(
      'config.invalid',
      `this Knex is of the client ${String(client.config.client)}, not pg`,
    )
  const connect = async (): Promise<PoolClient> => {
    const connection = await client.acquireConnection()
    const release = (error?: unknown): void => {
      // What Knex itself marks a broken connection with, so that its pool throws it away.
      if (error) connection.__knex__disposed = error
      void client.releaseConnection(connection)
    }
    return new Proxy(connection, {
      get: (target, name) => {
        if (name === 'release') return release
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }
  const query = async (config: never): Promise<unknown> => {
    const connection = await connect()
    try {
      const answer = await connection.query(config)
      connection.release()
      return answer
    } catch (error) {
      connection.release(error as Error)
      throw error
    }
  }
  return {
    connect,
    query: query as PgPool['query'],
    options: client.connectionSettings,
    Client: client.driver.Client,
  }
}
