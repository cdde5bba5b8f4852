import type { Knex } from 'knex'
import type { PoolClient } from 'pg'
import type { Ports } from '../core/ports.ts'
import { EndingGuard, Guard } from '../stores/postgres/control.ts'
import type { PgAdopted, PgUserTransaction } from '../stores/postgres/driver.ts'
import { adoptedRoot } from './adopted.ts'
import {
  type Disposable,
  type KnexClient,
  end,
  isKnex,
  override,
  placeOf,
  refuseWhenCompleted,
} from './knex-client.ts'
import { type PgPool, PgPoolDriver, committing, guardedQuery } from './pg-pool.ts'
import { ToolDriver } from './tool-driver.ts'

type Query = (...args: readonly unknown[]) => unknown
type RawClient = PoolClient & Disposable
interface PgKnexClient extends KnexClient<RawClient> {
  readonly driver: { readonly Client: PgPool['Client'] }
}

export class KnexPostgresDriver extends ToolDriver<Knex.Transaction> {
  readonly name = 'knex'
  readonly #knex: Knex
  readonly #given = new WeakMap<object, Guard>()

  constructor(db: Knex, ports: Ports) {
    super(new PgPoolDriver(poolOf(db.client as PgKnexClient), ports))
    this.#knex = db
  }

  async begin(): Promise<PgUserTransaction<Knex.Transaction>> {
    this.assertOpen()
    const tx = await this.#knex.transaction(null as never, { isolationLevel: 'read committed' })
    const client = await clientOf(tx).acquireConnection()
    const guard = new Guard()
    this.#given.set(tx, guard)
    const guarding = guardConnection(client, guard)
    refuseWhenCompleted(tx, () => guard.checkOpen())
    const ending = async (how: 'commit' | 'rollback'): Promise<void> => {
      guarding.letEnd()
      try {
        await end(tx, how)
      } finally {
        guarding.stop()
      }
    }
    return {
      tx,
      guard,
      query: (text, params) => this.base.adopt(client)!.runner.query(text, params),
      commit: () => committing(client, () => ending('commit')),
      // When the connection is gone, its server rolls back.
      rollBack: () => ending('rollback').catch(() => {}),
    }
  }

  adopt(handle: unknown): PgAdopted | undefined {
    if (!isKnex(handle)) return undefined
    if (!handle.isTransaction) return adoptedRoot
    const tx = handle as Knex.Transaction
    if (placeOf(clientOf(tx)) !== placeOf(this.#knex.client as PgKnexClient)) return undefined
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

function guardConnection(client: RawClient, guard: Guard): { letEnd(): void; stop(): void } {
  const run = client.query as Query
  let now = guard
  const stop = override(client, 'query', (...args: readonly unknown[]) =>
    guardedQuery(client, now, args, run),
  )
  return {
    letEnd: () => {
      now = new EndingGuard()
    },
    stop,
  }
}

function clientOf(tx: Knex.Transaction): PgKnexClient {
  return tx.client as PgKnexClient
}

/** Knex's pool as one of `pg`. */
function poolOf(client: PgKnexClient): PgPool {
  const connect = async (): Promise<PoolClient> => {
    const connection = await client.acquireConnection()
    const release = (error?: unknown): void => {
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
    options: client.connectionSettings ?? {},
    Client: client.driver.Client,
  }
}
