import { hash } from 'node:crypto'
import type { Client, Pool, PoolClient, QueryConfig, QueryResult } from 'pg'
import type { Ports } from '../core/ports.ts'
import { EndingGuard, Guard } from '../stores/postgres/control.ts'
import type {
  PgAdopted,
  PgAnswer,
  PgDriver,
  PgRow,
  PgSession,
  PgUserTransaction,
  PgValue,
} from '../stores/postgres/driver.ts'
import {
  aloneScript,
  backendPid,
  beginReadCommitted,
  begun,
  lastOn,
  rolledBackAtCommit,
  saysRolledBack,
} from '../stores/postgres/transactions.ts'
import { stopped } from './adopted.ts'
import { assertRoom } from './pool-room.ts'
import { parserOf } from './postgres-values.ts'

export const types = { getTypeParser: parserOf } as unknown as NonNullable<QueryConfig['types']>

/** One listens, one runs a handler, and one renews the leases meanwhile. */
const connectionsNeeded = 3

/** What is needed of a pool. */
export interface PgPool {
  connect(): Promise<PoolClient>
  query: Pool['query']
  readonly options: object
  readonly Client: new (options: object) => Client
}

/** The types of `pg` leave out that a pool has its kind of clients. */
export function asPgPool(pool: Pool): PgPool {
  return pool as unknown as PgPool
}

/** PostgreSQL through a pool of `pg`, the user's own or the one inside another tool. */
export class PgPoolDriver implements PgDriver<PoolClient> {
  readonly name = 'pg'
  readonly #pool: PgPool
  readonly #ports: Ports
  /** Not connected: it knows where the pool's clients connect to. */
  #place: Client | undefined
  #isClosed = false
  /** False behind a pooler, which gives each transaction another connection of the server. Known once one was asked. */
  #isDirect: boolean | undefined
  /** The client behind each handle that was given out. */
  readonly #given = new WeakMap<object, { readonly client: PoolClient; readonly guard: Guard }>()

  constructor(pool: PgPool, ports: Ports) {
    this.#pool = pool
    this.#ports = ports
  }

  async query(text: string, params: readonly PgValue[]): Promise<PgAnswer> {
    this.#assertOpen()
    if (this.#isDirect !== undefined) return ask(this.#pool, text, params, this.#isDirect)
    return lastOn(await this.session(), text, params)
  }

  async session(): Promise<PgSession> {
    return (await this.#connect()).session
  }

  async begin(): Promise<PgUserTransaction<PoolClient>> {
    const { client, session } = await this.#connect()
    const transaction = await begun(session, beginReadCommitted)
    const guard = new Guard()
    return { ...transaction, tx: this.guarded(client, guard), guard }
  }

  /** The client itself, but for what would end the transaction behind Waybill's back, or go on after it. */
  guarded(client: PoolClient, guard: Guard): PoolClient {
    const tx = guarded(client, guard)
    this.#given.set(tx, { client, guard })
    return tx
  }

  async #connect(): Promise<{ readonly client: PoolClient; readonly session: PgSession }> {
    this.#assertOpen()
    const client = await this.#pool.connect()
    // A connection that breaks while it is checked out would otherwise end the process with an unhandled 'error'.
    const ignore = (): void => {}
    client.on('error', ignore)
    const release = (error?: unknown): void => {
      client.removeListener('error', ignore)
      client.release(error instanceof Error ? error : error !== undefined)
    }
    return { client, session: { query: (text, params) => this.#ask(client, text, params), release } }
  }

  async #ask(client: PoolClient, text: string, params: readonly PgValue[]): Promise<PgAnswer> {
    this.#isDirect ??= await isDirect(client)
    return ask(client, text, params, this.#isDirect)
  }

  adopt(handle: unknown): PgAdopted | undefined {
    if (!isClient(handle) || !this.#isOfThisDatabase(handle)) return undefined
    const given = this.#given.get(handle)
    const client = given?.client ?? handle
    return {
      runner: {
        query: async (text, params) => {
          given?.guard.checkOpen()
          return this.#ask(client, text, params)
        },
      },
      isInTransaction: () => {
        given?.guard.checkOpen()
        const status = (client as WithStatus).getTransactionStatus?.()
        return status === undefined ? undefined : status === 'T' || status === 'E'
      },
      onceEnded: (ended) => onceIdle(handle, ended),
    }
  }

  listen(channel: string, notified: (payload?: string) => void): () => void {
    const { max } = this.#pool.options as { readonly max?: unknown }
    assertRoom(max, this.#isDirect === false ? connectionsNeeded - 1 : connectionsNeeded)
    // A pooler may take it for a statement like any other, and then it is heard of by nobody.
    if (this.#isDirect === false) return () => {}
    return listenOn(this.#pool, channel, notified, this.#ports)
  }

  async alone(text: string): Promise<readonly PgRow[]> {
    this.#assertOpen()
    const answer = (await this.#pool.query({ text: aloneScript(text), types })) as unknown
    const answers = (Array.isArray(answer) ? answer : [answer]) as QueryResult[]
    return answers.flatMap(({ rows }) => rows as PgRow[])
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** The pool is the user's, and goes on without Waybill. */
  #assertOpen(): void {
    if (this.#isClosed) throw stopped()
  }

  /** The log must be in the database of the business change, or they would not commit together. */
  #isOfThisDatabase(client: PoolClient): boolean {
    this.#place ??= new this.#pool.Client(this.#pool.options)
    const { host, port, database } = client as unknown as Client
    return host === this.#place.host && port === this.#place.port && database === this.#place.database
  }
}

/** Whether the connection is one of the server's: a pooler gives out process ids of its own. */
async function isDirect(client: PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ pid: number }>({ text: backendPid, types } as never)
  return rows[0]!.pid === (client as PoolClient & { readonly processID?: number }).processID
}

/** Named, it is prepared once on each connection; without a name, each time, since nobody knows on which connection it is. */
async function ask(
  on: PgPool | PoolClient,
  text: string,
  params: readonly PgValue[],
  isPrepared: boolean,
): Promise<PgAnswer> {
  const { rows, rowCount, command } = await on.query<PgRow>({
    name: isPrepared ? nameOf(text) : undefined,
    text,
    values: params.map(bindable),
    types,
  } as never)
  return { rows, affected: rowCount ?? 0, command }
}

const names = new Map<string, string>()

function nameOf(text: string): string {
  let name = names.get(text)
  if (name === undefined) names.set(text, (name = `waybill_${hash('sha1', text)}`))
  return name
}

/** `pg` takes bytes only as a Buffer. */
export function bindable(value: PgValue): PgValue {
  return value instanceof Uint8Array && !Buffer.isBuffer(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value
}

/** What `pg` keeps of the server's last word: 'I' idle, 'T' in a transaction, 'E' in one that has failed. */
interface WithStatus {
  getTransactionStatus?(): 'I' | 'T' | 'E' | null
  readonly connection?: {
    on(event: string, heard: (message: { status: string; text: string }) => void): unknown
    removeListener(event: string, heard: unknown): unknown
  }
}

function isClient(handle: unknown): handle is PoolClient & WithStatus {
  const { query, release, getTransactionStatus, totalCount } = (handle ?? {}) as Record<string, unknown>
  // A pool has `totalCount`: each of its queries may go over another connection.
  return (
    typeof query === 'function' &&
    totalCount === undefined &&
    (typeof release === 'function' || typeof getTransactionStatus === 'function')
  )
}

function guarded(client: PoolClient, guard: Guard): PoolClient {
  const query = (...args: readonly unknown[]): unknown => guardedQuery(client, guard, args)
  return new Proxy(client, {
    get: (target, name) => {
      if (name === 'query') return query
      // Not before the end, and by whoever took it.
      if (name === 'release' && !(guard instanceof EndingGuard)) return () => {}
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

type Query = (...args: readonly unknown[]) => unknown

/** Runs a query of the user's, or answers in the way it was asked why not. */
export function guardedQuery(
  client: PoolClient,
  guard: Guard,
  args: readonly unknown[],
  run: Query = client.query as Query,
): unknown {
  const [first] = args
  try {
    guard.check(typeof first === 'string' ? first : ((first as { text?: string } | undefined)?.text ?? ''))
  } catch (error) {
    const answer = args.at(-1)
    if (typeof answer !== 'function') return Promise.reject(error as Error)
    queueMicrotask(() => answer(error))
    return undefined
  }
  return run.apply(client, args as unknown[])
}

/** Sees the answer to a COMMIT that somebody else sends: the server answers that of a failed transaction with ROLLBACK, and no error. */
export async function committing(client: PoolClient, commit: () => Promise<unknown>): Promise<void> {
  const { connection } = client as WithStatus
  let isRolledBack = false
  const heard = ({ text }: { text: string }): void => {
    isRolledBack = saysRolledBack(text)
  }
  connection?.on('commandComplete', heard)
  try {
    await commit()
  } finally {
    connection?.removeListener('commandComplete', heard)
  }
  if (isRolledBack) throw rolledBackAtCommit()
}

function onceIdle(client: WithStatus, ended: () => void): void {
  const { connection } = client
  const heard = ({ status }: { status: string }): void => {
    if (status !== 'I') return
    connection?.removeListener('readyForQuery', heard)
    ended()
  }
  connection?.on('readyForQuery', heard)
}

const reconnectMs = 1_000

/** A connection of its own, opened again whenever it breaks; until then polling is the net. */
function listenOn(
  pool: PgPool,
  channel: string,
  notified: (payload?: string) => void,
  ports: Pick<Ports, 'clock'>,
): () => void {
  let isStopped = false
  /** Ends what is on its way: an attempt, listening, or the wait for the next attempt. */
  let end = (): void => {}
  const connect = async (): Promise<void> => {
    let client: PoolClient | undefined
    let isOver = false
    // Told twice of a connection that breaks under a statement: by the connection, and by the statement.
    const over = (): void => {
      if (isOver) return
      isOver = true
      client?.release(true)
      if (!isStopped) end = ports.clock.after(reconnectMs, () => void connect())
    }
    end = over
    try {
      client = await pool.connect()
      if (isStopped) return client.release()
      client.on('notification', ({ payload }) => notified(payload))
      client.once('error', over)
      await client.query(`listen "${channel}"`)
      notified()
    } catch {
      over()
    }
  }
  void connect()
  return () => {
    isStopped = true
    end()
  }
}
