import { onTestFinished } from 'vitest'
import { freshDatabase } from '../../scripts/services/index.ts'
import type { DatabaseClaims, HandleSubject, OwnHandle } from '../conformance/database-bench.ts'
import type { DatabaseSubject } from '../conformance/subject.ts'
import type { Database, OpenDatabase } from '../core/database.ts'
import { type ErrorCode, WaybillError, errorCodes, isWaybillError } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import { systemPorts } from '../system.ts'
import { testPorts } from '../testing/ports.ts'
import { beginInCallback } from './callback-transaction.ts'
import type { ConnectedTool } from './connected-tool.fixture.ts'

/** What the tests themselves ask of a server, past the tool. */
export interface TestPool {
  rows(sql: string): Promise<readonly any[]>
  connection(): Promise<TestConnection>
  end(): Promise<unknown>
}

export interface TestConnection {
  query(sql: string): Promise<unknown>
  release(): void
}

/** A kind of server, as far as the tests of tools differ. */
export interface ServerKind<Pool extends TestPool = TestPool> {
  readonly service: 'postgres' | 'mariadb'
  readonly claims: DatabaseClaims
  readonly control: readonly string[]
  /** A server that is not there. */
  readonly nowhere: string
  connect(url: string): Pool
  subject<Tx>(given: SubjectOptions<Tx, Pool>): Promise<DatabaseSubject<Tx> & { renew(): void }>
  /** A name in the server's quotes. */
  quoted(name: string): string
  dropSchema(schema: string): string
}

export interface SubjectOptions<Tx, Pool> {
  readonly pool: Pool
  readonly schema: string
  readonly at: (schema: string) => Database<Tx>
  readonly ports: Ports
  readonly advance: (ms: number) => Promise<void>
  readonly run: (tx: Tx, sql: string, params: readonly string[]) => Promise<unknown>
}

/** A database with Waybill's tables, a tool on it, and a pool for what the test itself asks. */
export interface Fresh<Tx> {
  readonly tool: ConnectedTool<Tx>
  readonly pool: TestPool
}

/** To a database of its own, where the tool may go another way. */
export type Connect<Tx> = (by?: (url: string) => string) => Promise<Fresh<Tx>>

export class ToolServer<Tx, Pool extends TestPool> {
  readonly #kind: ServerKind<Pool>
  readonly #connect: (url: string) => Promise<ConnectedTool<Tx>>
  readonly #url: string
  readonly #pool: Pool
  readonly #schema = `d_${systemPorts.ids.message().replaceAll('-', '').slice(-20)}`
  #connected: Promise<ConnectedTool<Tx>> | undefined

  constructor(kind: ServerKind<Pool>, connect: (url: string) => Promise<ConnectedTool<Tx>>, url: string) {
    this.#kind = kind
    this.#connect = connect
    this.#url = url
    this.#pool = kind.connect(url)
  }

  async close(isThere: boolean): Promise<void> {
    await (await this.#connected)?.close()
    if (isThere) await this.#pool.rows(this.#kind.dropSchema(this.#schema))
    await this.#pool.end()
  }

  async fresh(by = (url: string): string => url): Promise<Fresh<Tx>> {
    const other = await freshDatabase(this.#kind.service, this.#url)
    const pool = this.#kind.connect(other.url)
    const tool = await this.#connectElsewhere(by(other.url), async () => {
      await pool.end()
      await other.drop()
    })
    await tool.database({}).open(testPorts(), { service: 'order', migrate: 'auto' }).ready()
    return { tool, pool }
  }

  async subject(): Promise<HandleSubject<Tx>> {
    const ports = testPorts()
    this.#connected ??= this.#connect(this.#url)
    const connected = await this.#connected
    const subject = await this.#kind.subject<Tx>({
      pool: this.#pool,
      schema: this.#schema,
      at: (schema) => connected.database({ schema }),
      ports,
      advance: (ms) => ports.clock.advance(ms),
      run: (tx, sql, params) => unwrapped(() => connected.run(tx, sql, params)),
    })
    return {
      ...subject,
      own: () => ownHandle(connected),
      foreign: [{ query() {} }],
      run: (tx, sql) => unwrapped(() => connected.run(tx, sql, [])),
      control: this.#kind.control,
      empty: () => this.#empty(ports),
      openInProcesses: () => Promise.reject(new Error('not claimed')),
      pretendNewer: async (version, since) => {
        const set = (name: string, value: number): Promise<unknown> =>
          this.#pool.rows(
            `update ${this.#kind.quoted(this.#schema)}.waybill_meta set value = '${value}' where name = '${name}'`,
          )
        await set('schema_version', version)
        await set('works_with_since', since)
        subject.renew()
      },
      openRefused: (what) => this.#openRefused(what, ports),
      unsafe: () => ({
        tx: connected.root as Tx,
        begin() {},
        commit() {},
        rollback() {},
        close() {},
      }),
    }
  }

  async #connectElsewhere(url: string, remove: () => Promise<unknown>): Promise<ConnectedTool<Tx>> {
    const connected = await this.#connect(url)
    onTestFinished(async () => {
      await connected.close()
      await remove()
    })
    return connected
  }

  async #empty(ports: Ports): Promise<{ open(migrate: 'auto' | 'check'): Promise<OpenDatabase<Tx>> }> {
    const other = await freshDatabase(this.#kind.service, this.#url)
    const elsewhere = await this.#connectElsewhere(other.url, () => other.drop())
    return {
      open: async (migrate) => {
        const database = elsewhere.database({}).open(ports, { service: 'order', migrate })
        await database.ready()
        return database
      },
    }
  }

  async #openRefused(what: string, ports: Ports): Promise<void> {
    const isOddName = what.startsWith('a schema')
    const connected = await this.#connectElsewhere(isOddName ? this.#url : this.#kind.nowhere, async () => {})
    const database = connected.database(isOddName ? { schema: 'Odd"`' } : {})
    await database.open(ports, { service: 'order', migrate: 'auto' }).ready()
  }
}

/**
 * A handle that is in a transaction at one time and in none at another: such tools have a handle for each transaction, so this one
 * stands for the root and the handle of the moment in turn.
 */
function ownHandle<Tx>({ root, transaction }: ConnectedTool<Tx>): OwnHandle<Tx> {
  let current: object = root
  let open: Awaited<ReturnType<typeof beginInCallback<Tx>>> | undefined
  const follow = (name: string | symbol): unknown => {
    const value: unknown = Reflect.get(current, name, current)
    return typeof value === 'function' && !Object.hasOwn(value, 'prototype') ? value.bind(current) : value
  }
  const end = async (how: 'commit' | 'rollBack'): Promise<void> => {
    const ending = open
    open = undefined
    current = root
    await ending?.[how]()
  }
  return {
    tx: new Proxy(typeof root === 'function' ? () => {} : {}, {
      get: (_, name) => follow(name),
      has: (_, name) => Reflect.has(current, name),
      apply: (_, self, args) => Reflect.apply(current as () => unknown, self, args),
    }) as Tx,
    begin: async () => {
      open = await beginInCallback(transaction, (error) => error)
      current = open.tx as object
    },
    commit: () => end('commit'),
    rollback: () => end('rollBack'),
    close: () => end('rollBack'),
  }
}

/** Some tools wrap what they were refused with. */
async function unwrapped<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work()
  } catch (error) {
    const { cause, code, message } = error as { cause?: unknown; code?: ErrorCode; message: string }
    if (isWaybillError(cause)) throw cause
    throw code !== undefined && errorCodes.includes(code) ? new WaybillError(code, message) : error
  }
}
