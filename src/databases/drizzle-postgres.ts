import type { Pool, PoolClient } from 'pg'
import type { Sql, TransactionSql } from 'postgres'
import type { Ports } from '../core/ports.ts'
import { Guard } from '../stores/postgres/control.ts'
import type { PgAdopted, PgDriver, PgUserTransaction } from '../stores/postgres/driver.ts'
import { coded } from '../stores/postgres/errors.ts'
import { adoptedRoot } from './adopted.ts'
import { type CallbackTransaction, beginInCallback } from './callback-transaction.ts'
import { type DrizzleLike, type Session, isTransaction, sessionOf } from './drizzle-session.ts'
import { guardLent } from './lent-client.ts'
import { PgPoolDriver, asPgPool } from './pg-pool.ts'
import { PostgresJsDriver } from './postgres-js-driver.ts'
import { ToolDriver } from './tool-driver.ts'

/** Over `pg`, where Drizzle sends COMMIT and ROLLBACK itself. */
export function overPg<Tx>(db: DrizzleLike<Tx>, pool: Pool, ports: Ports): PgDriver<Tx> {
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
export function overPostgresJs<Tx>(db: DrizzleLike<Tx>, sql: Sql, ports: Ports): PgDriver<Tx> {
  const base = new PostgresJsDriver(sql, ports)
  const guarded: Guarding<Tx> = (transaction, session) => {
    const guard = new Guard()
    const client = session.client as TransactionSql
    session.client = base.guarded(client, guard)
    return { ...transaction, guard, query: (text, params) => base.ask(client, text, params) }
  }
  return new DrizzleDriver(db, base, guarded, () => base.assertUnpooled())
}

type Guarding<Tx> = (transaction: CallbackTransaction<Tx>, session: Session) => PgUserTransaction<Tx>

class DrizzleDriver<Tx> extends ToolDriver<Tx> {
  readonly name = 'drizzle-orm'
  readonly #db: DrizzleLike<Tx>
  readonly #guarded: Guarding<Tx>
  readonly #assertUsable: () => Promise<void>

  constructor(
    db: DrizzleLike<Tx>,
    base: PgDriver<unknown>,
    guarded: Guarding<Tx>,
    assertUsable = async (): Promise<void> => {},
  ) {
    super(base)
    this.#db = db
    this.#guarded = guarded
    this.#assertUsable = assertUsable
  }

  async begin(): Promise<PgUserTransaction<Tx>> {
    this.assertOpen()
    await this.#assertUsable()
    const transaction = await beginInCallback<Tx>(
      (callback) => this.#db.transaction(callback, { isolationLevel: 'read committed' }),
      coded,
    )
    return this.#guarded(transaction, sessionOf(transaction.tx)!)
  }

  adopt(handle: unknown): PgAdopted | undefined {
    const session = sessionOf(handle)
    if (!session) return undefined
    return isTransaction(handle) ? this.base.adopt(session.client) : adoptedRoot
  }
}
