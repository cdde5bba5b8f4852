import type { Column, ReservedSql, Sql, TransactionSql } from 'postgres'
import { WaybillError } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import { Guard } from '../stores/postgres/control.ts'
import type {
  PgAdopted,
  PgAnswer,
  PgDriver,
  PgRow,
  PgSession,
  PgUserTransaction,
  PgValue,
} from '../stores/postgres/driver.ts'
import { coded, isConnectionLost } from '../stores/postgres/errors.ts'
import { migrations } from '../stores/postgres/migrations/index.ts'
import { aloneScript, backendPid, lastOn, readCommitted, rollback } from '../stores/postgres/transactions.ts'
import { adoptedRoot, stopped } from './adopted.ts'
import { beginInCallback } from './callback-transaction.ts'
import { assertRoom } from './pool-room.ts'
import { parserOf } from './postgres-values.ts'

/** Whatever of `postgres` runs SQL: the root, one in a transaction, one on a reserved connection. */
type Unsafe = Pick<Sql, 'unsafe'>

/** One runs a handler, and one renews the leases meanwhile. The library listens on one more, beside its pool. */
const connectionsNeeded = 2

/** What is behind the handles that were given out, in all drivers: they are not known by their looks. */
interface Given {
  readonly sql: TransactionSql
  readonly guard: Guard
  readonly place: string
}
const given = new WeakMap<object, Given>()

/** PostgreSQL through a `sql` of postgres.js, the user's own or the one inside another tool. */
export class PostgresJsDriver<Tx = TransactionSql> implements PgDriver<Tx> {
  readonly name = 'postgres'
  readonly #sql: Sql
  readonly #ports: Ports
  readonly #columns: ColumnNames
  readonly #place: string
  /** Not behind a pooler, for which users turn it off. */
  readonly #prepares: boolean
  /** Whether it was asked that no pooler is there where statements are prepared. */
  #isChecked: boolean
  #isClosed = false

  constructor(sql: Sql, ports: Ports) {
    if (sql.options.transform.row.from)
      throw new WaybillError(
        'config.invalid',
        'this `sql` transforms rows, those that Waybill reads as well; make one of its own for Waybill, without transform.row',
      )
    if (!sql.options.fetch_types)
      throw new WaybillError(
        'config.invalid',
        'this `sql` has fetch_types: false; the library then never hands out a connection that it opens for `reserve`, and Waybill would wait for ever; leave fetch_types out',
      )
    this.#sql = sql
    this.#prepares = sql.options.prepare
    this.#isChecked = !this.#prepares
    this.#ports = ports
    this.#columns = new ColumnNames(sql.options.transform.column.from)
    const { host, port, database } = sql.options
    this.#place = JSON.stringify([host, port, database])
  }

  async query(text: string, params: readonly PgValue[]): Promise<PgAnswer> {
    this.#assertOpen()
    if (this.#prepares) return this.ask(this.#sql, text, params)
    // What is not prepared is sent in two halves, also behind what a busy connection does already: then PgBouncer gives its server to
    // somebody else in between, and the statement is never answered. A connection of its own has nothing before it.
    return lastOn(await this.session(), text, params)
  }

  async session(): Promise<PgSession> {
    this.#assertOpen()
    const reserved = await this.#sql.reserve()
    return {
      query: (text, params) => this.ask(reserved, text, params),
      release: (error) => giveBack(reserved, error),
    }
  }

  async begin(): Promise<PgUserTransaction<Tx>> {
    this.#assertOpen()
    await this.assertUnpooled()
    const { tx: sql, ...ends } = await beginInCallback<TransactionSql>(
      (callback) => this.#sql.begin(readCommitted, callback),
      coded,
    )
    const guard = new Guard()
    return {
      ...ends,
      guard,
      tx: this.guarded(sql, guard) as Tx,
      query: (text, params) => this.ask(sql, text, params),
    }
  }

  adopt(handle: unknown): PgAdopted | undefined {
    if (!isSql(handle)) return undefined
    const own = given.get(handle)
    if (own && own.place !== this.#place) return undefined
    const sql = own?.sql ?? handle
    const isRoot = 'listen' in sql && !('savepoint' in sql)
    if (isRoot) return adoptedRoot
    return {
      runner: {
        query: async (text, params) => {
          own?.guard.checkOpen()
          return this.ask(sql, text, params)
        },
      },
      isInTransaction: () => {
        own?.guard.checkOpen()
        // One of `sql.reserve()` does not tell what was begun on it.
        return 'savepoint' in sql || undefined
      },
    }
  }

  listen(channel: string, notified: (payload?: string) => void): () => void {
    assertRoom(this.#sql.options.max, connectionsNeeded)
    // A pooler may take it for a statement like any other, and then it is heard of by nobody.
    if (!this.#prepares) return () => {}
    let isStopped = false
    let stop = (): void => {}
    const listen = (): void => {
      if (isStopped) return
      this.#sql
        .listen(channel, notified, () => notified())
        .then(({ unlisten }) => {
          stop = () => void unlisten().catch(() => {})
          if (isStopped) stop()
          return undefined
        })
        .catch(() => {
          stop = this.#ports.clock.after(reconnectMs, listen)
        })
    }
    listen()
    return () => {
      isStopped = true
      stop()
    }
  }

  async alone(text: string): Promise<readonly PgRow[]> {
    this.#assertOpen()
    const reserved = await this.#sql.reserve()
    let results: readonly RawResult[]
    try {
      results = (await reserved.unsafe(aloneScript(text)).raw()) as unknown as readonly RawResult[]
    } catch (error) {
      await endedAfter(error, reserved)
      throw error
    }
    // From here on it is others' connection, whatever comes of the answer.
    giveBack(reserved)
    return results.flatMap((result) => this.#rows(result, text))
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** The `sql` itself, but for what would end the transaction behind Waybill's back, or go on after it. */
  guarded(sql: TransactionSql, guard: Guard): TransactionSql {
    const tx = guarded(sql, guard, (inner) => this.guarded(inner, guard))
    given.set(tx, { sql, guard, place: this.#place })
    return tx
  }

  async ask(sql: Unsafe, text: string, params: readonly PgValue[]): Promise<PgAnswer> {
    await this.assertUnpooled(sql)
    const result = (await sql
      .unsafe(text, params as never, { prepare: this.#prepares })
      .raw()) as unknown as RawResult
    return { rows: this.#rows(result, text), affected: result.count ?? 0, command: result.command }
  }

  /**
   * The library prepares also `commit`. On another connection of the server that fails, the library tries again, and the server answers
   * the second COMMIT of the transaction, which has failed by then, with ROLLBACK and no error: what was to be committed is gone
   * without a word.
   * @param sql a transaction that is open has maybe the only connection there is
   * @throws WaybillError `config.invalid`
   */
  async assertUnpooled(sql: Unsafe = this.#sql): Promise<void> {
    if (this.#isChecked) return
    const query = sql.unsafe(backendPid).raw() as unknown as WithState
    const [[pid]] = await query
    const said = query.state?.pid
    if (typeof said === 'number' && said !== Number(pid.toString()))
      throw new WaybillError(
        'config.invalid',
        'this `sql` prepares statements, and a pooler or proxy is between it and the server: where that changes connections, COMMITs are lost without an error; give the `sql` `prepare: false`',
      )
    this.#isChecked = true
  }

  #rows(result: RawResult, text: string): readonly PgRow[] {
    const { columns } = result
    if (!columns) return []
    const names = this.#columns.of(columns, text)
    const parse = columns.map(({ type }) => parserOf(type))
    return Array.from(result, (row) => {
      const read = row.map((value, i) => (value === null ? null : parse[i]!(value.toString())))
      return Object.fromEntries(read.map((value, i) => [names[i]!, value]))
    })
  }

  /** The `sql` is the user's, and goes on without Waybill. */
  #assertOpen(): void {
    if (this.#isClosed) throw stopped()
  }
}

const reconnectMs = 1_000

/** One that broke is not reserved any more; given back, others would wait for its answers, or the library write to a socket that is gone. */
function giveBack(reserved: ReservedSql, error?: unknown): void {
  if (!isConnectionLost(error)) reserved.release()
}

/** A script that failed left its transaction open, and the next user of the connection would be in it. */
async function endedAfter(error: unknown, reserved: ReservedSql): Promise<void> {
  if (isConnectionLost(error)) return
  await reserved.unsafe(rollback).then(
    () => giveBack(reserved),
    (failed: unknown) => giveBack(reserved, failed),
  )
}

/** A query that knows which process the server, or the pooler, said to be when the connection was made. */
interface WithState extends PromiseLike<readonly [readonly [Buffer]]> {
  readonly state?: { readonly pid?: number | null }
}

/** Each value as the server sent it, past the user's parsers and transforms. */
type RawRow = readonly (Buffer | null)[]
interface RawResult extends ReadonlyArray<RawRow> {
  readonly columns: readonly Column<string>[] | null
  readonly count: number | null
  readonly command: string
}

/** The columns' own names: `transform.column`, as in `postgres.camel`, renames Waybill's too. */
class ColumnNames {
  readonly #from: ((column: string) => string) | undefined
  readonly #originals = new Map<string, string>()
  readonly #known = new Set<string>()

  constructor(from: ((column: string) => string) | undefined) {
    this.#from = from
    if (from) for (const { sql } of migrations) this.#learn(sql)
  }

  of(columns: readonly Column<string>[], text: string): readonly string[] {
    if (!this.#from) return columns.map(({ name }) => name)
    if (!this.#known.has(text)) this.#learn(text)
    return columns.map(({ name }) => this.#originals.get(name) ?? name)
  }

  /** A column is named in the statement, or where its table is made. */
  #learn(text: string): void {
    this.#known.add(text)
    for (const [name] of text.matchAll(/[a-z_][a-z0-9_]*/g)) this.#originals.set(this.#from!(name), name)
  }
}

function isSql(handle: unknown): handle is TransactionSql {
  return typeof handle === 'function' && typeof (handle as Partial<Sql>).unsafe === 'function'
}

function guarded(
  sql: TransactionSql,
  guard: Guard,
  nested: (sql: TransactionSql) => TransactionSql,
): TransactionSql {
  const instead: Readonly<Record<string, unknown>> = {
    unsafe: (text: string, ...rest: readonly never[]) => {
      guard.check(text)
      return sql.unsafe(text, ...rest)
    },
    savepoint: (...args: readonly unknown[]) => {
      guard.checkOpen()
      const work = args.at(-1) as (sql: TransactionSql) => unknown
      const inner = (own: TransactionSql): unknown => work(nested(own))
      return args.length > 1 ? sql.savepoint(args[0] as string, inner) : sql.savepoint(inner)
    },
    prepare: () => guard.check('prepare transaction'),
    file: () => {
      throw new WaybillError(
        'store.transaction-control',
        'what a file would run cannot be checked; read it, and use `unsafe`',
      )
    },
  }
  return new Proxy(sql, {
    apply: (target, self, args: unknown[]) => {
      const [first] = args
      if (isTemplate(first)) guard.check(first.join('?'))
      return Reflect.apply(target, self, args)
    },
    get: (target, name) =>
      typeof name === 'string' && Object.hasOwn(instead, name) ? instead[name] : Reflect.get(target, name),
  })
}

/** Otherwise it is a helper, as in sql('name'). */
function isTemplate(first: unknown): first is readonly string[] {
  return Array.isArray(first) && 'raw' in first
}
