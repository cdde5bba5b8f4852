import type { Pool, PoolClient } from 'pg'
import type { Sql, TransactionSql } from 'postgres'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import { Guard } from '../stores/postgres/control.ts'
import type { PgAdopted, PgDriver, PgUserTransaction } from '../stores/postgres/driver.ts'
import { type PostgresOptions, openPostgres } from '../stores/postgres/open.ts'
import { adoptedRoot } from './adopted.ts'
import { type CallbackTransaction, beginInCallback } from './callback-transaction.ts'
import { guardLent } from './lent-client.ts'
import { PgPoolDriver, asPgPool } from './pg-pool.ts'
import { PostgresJsDriver } from './postgres-js-driver.ts'
import { ToolDriver } from './tool-driver.ts'

export type { PostgresOptions } from '../stores/postgres/open.ts'

/** A database of Drizzle, of whatever schema. */
export interface DrizzleLike<Tx> {
  transaction<R>(work: (tx: Tx) => Promise<R>, ...rest: any[]): Promise<R>
}

/**
 * PostgreSQL 14 or later through Drizzle on `pg` or on `postgres`. `publish` takes the `tx` that `db.transaction` hands to your callback;
 * handlers and `waybill.transaction` give you one of that kind.
 *
 * @param db yours, made over a pool: Waybill takes connections from it and never ends it
 * @param options.schema where Waybill's tables are; default 'public'
 * @throws WaybillError `config.invalid` for a Drizzle on another driver, or over a single connection
 */
export function drizzle<Tx>(db: DrizzleLike<Tx>, options: PostgresOptions = {}): Database<Tx, 'async'> {
  return {
    mode: 'async',
    dialect: 'postgres',
    open: (ports, open) => openPostgres(driverOf(db, ports), options, ports, open),
  }
}

/** What Drizzle runs its statements on: of the root, or the connection of a transaction. */
interface Session {
  client: object
}

function driverOf<Tx>(db: DrizzleLike<Tx>, ports: Ports): PgDriver<Tx> {
  const { $client } = db as { readonly $client?: unknown }
  if (typeof $client === 'function') return overPostgresJs(db, $client as unknown as Sql, ports)
  if (typeof ($client as Partial<Pool> | undefined)?.totalCount === 'number')
    return overPg(db, $client as Pool, ports)
  throw new WaybillError(
    'config.invalid',
    'this is no Drizzle database over a Pool of pg or over postgres.js; pass what drizzle(…) of drizzle-orm/node-postgres or drizzle-orm/postgres-js answers',
  )
}

/** Over `pg`, where Drizzle sends COMMIT and ROLLBACK itself. */
function overPg<Tx>(db: DrizzleLike<Tx>, pool: Pool, ports: Ports): PgDriver<Tx> {
  const base = new PgPoolDriver(asPgPool(pool), ports)
  return new DrizzleDriver(db, base, (transaction, session) =>
    guardLent(base, {
      ...transaction,
      client: session.client as PoolClient,
      put: (client) => {
        session.client = client
      },
    }),
  )
}

/** Over postgres.js, which ends its transactions by itself. */
function overPostgresJs<Tx>(db: DrizzleLike<Tx>, sql: Sql, ports: Ports): PgDriver<Tx> {
  const base = new PostgresJsDriver(sql, ports)
  return new DrizzleDriver(db, base, (transaction, session) => {
    const guard = new Guard()
    const client = session.client as TransactionSql
    session.client = base.guarded(client, guard)
    return { ...transaction, guard, query: (text, params) => base.ask(client, text, params) }
  })
}

type Guarding<Tx> = (transaction: CallbackTransaction<Tx>, session: Session) => PgUserTransaction<Tx>

class DrizzleDriver<Tx> extends ToolDriver<Tx> {
  readonly name = 'drizzle-orm'
  readonly #db: DrizzleLike<Tx>
  readonly #guarded: Guarding<Tx>

  constructor(db: DrizzleLike<Tx>, base: PgDriver<unknown>, guarded: Guarding<Tx>) {
    super(base)
    this.#db = db
    this.#guarded = guarded
  }

  async begin(): Promise<PgUserTransaction<Tx>> {
    this.assertOpen()
    const transaction = await beginInCallback<Tx>((callback) =>
      this.#db.transaction(callback, { isolationLevel: 'read committed' }),
    )
    return this.#guarded(transaction, sessionOf(transaction.tx)!)
  }

  adopt(handle: unknown): PgAdopted | undefined {
    const session = sessionOf(handle)
    if (!session) return undefined
    return isTransaction(handle) ? this.base.adopt(session.client) : adoptedRoot
  }
}

function sessionOf(handle: unknown): Session | undefined {
  const { session } = (handle ?? {}) as { readonly session?: Session }
  return session?.client ? session : undefined
}

function isTransaction(handle: unknown): boolean {
  return typeof (handle as { readonly rollback?: unknown }).rollback === 'function'
}
