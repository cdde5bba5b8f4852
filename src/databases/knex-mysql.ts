import type { Knex } from 'knex'
import { Guard } from '../stores/mysql/control.ts'
import type { MyAdopted, MyUserTransaction } from '../stores/mysql/driver.ts'
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
import { adoptUnseen, assertIn } from './mysql-adopted.ts'
import { EndingGuard } from './mysql-ending.ts'
import { MyToolDriver } from './mysql-tool-driver.ts'
import { ask } from './mysql2-answers.ts'
import { type MyPool, Mysql2Driver } from './mysql2-pool.ts'
import { type Core, statusOf } from './mysql2-status.ts'

type Connection = Core & Disposable

export class KnexMysqlDriver extends MyToolDriver<Knex.Transaction> {
  readonly name = 'knex'
  readonly #knex: Knex
  readonly #given = new WeakMap<object, Guard>()

  constructor(db: Knex) {
    super(new Mysql2Driver(poolOf(clientOf(db))))
    this.#knex = db
  }

  async begin(): Promise<MyUserTransaction<Knex.Transaction>> {
    this.assertOpen()
    const tx = await this.#knex.transaction(null as never, { isolationLevel: 'read committed' })
    const connection = await clientOf(tx).acquireConnection()
    await assertIn(connection)
    const status = statusOf(connection)
    const guard = new Guard(() => status.isIn)
    this.#given.set(tx, guard)
    const guarding = guardConnection(connection, guard)
    refuseWhenCompleted(tx, () => guard.check(''))
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
      query: (text, params) => ask(connection, text, params),
      commit: () => ending('commit'),
      // When the connection is gone, its server rolls back.
      rollBack: () => ending('rollback').catch(() => {}),
    }
  }

  adopt(handle: unknown): MyAdopted | undefined {
    if (!isKnex(handle)) return undefined
    if (!handle.isTransaction) return adoptedRoot
    const tx = handle as Knex.Transaction
    if (placeOf(clientOf(tx)) !== placeOf(clientOf(this.#knex))) return undefined
    return adoptUnseen({
      core: () => clientOf(tx).acquireConnection(),
      isOpen: () => !tx.isCompleted(),
      guard: this.#given.get(tx),
    })
  }
}

function clientOf(tx: Knex): KnexClient<Connection> {
  return tx.client as KnexClient<Connection>
}

type Statement = (...args: readonly unknown[]) => unknown

function guardConnection(connection: Connection, guard: Guard): { letEnd(): void; stop(): void } {
  let now = guard
  const guarded = (name: 'query' | 'execute'): (() => void) => {
    const run = connection[name] as Statement
    return override(connection, name, (...args: readonly unknown[]) => {
      const [first] = args
      now.check(typeof first === 'string' ? first : (first as { sql: string }).sql)
      return run.apply(connection, args as unknown[])
    })
  }
  const stops = [guarded('query'), guarded('execute')]
  return {
    letEnd: () => {
      now = new EndingGuard()
    },
    stop: () => {
      for (const stop of stops) stop()
    },
  }
}

/** Knex's pool as one of `mysql2`. */
function poolOf(client: KnexClient<Connection>): MyPool {
  return {
    place: (client.connectionSettings ?? {}) as MyPool['place'],
    getConnection: async () => {
      const connection = await client.acquireConnection()
      const release = (): void => void client.releaseConnection(connection)
      return {
        connection,
        release,
        destroy: () => {
          connection.__knex__disposed = new Error('thrown away by Waybill')
          connection.destroy()
          release()
        },
      }
    },
  }
}
