import { Pool } from 'pg'
import { afterAll, describe, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import type { DatabaseClaims, HandleSubject, OwnHandle } from '../conformance/database-bench.ts'
import { databaseSuite } from '../conformance/database-suite.ts'
import { postgresSubject } from '../conformance/postgres-subject.ts'
import type { OpenDatabase } from '../core/database.ts'
import { type ErrorCode, WaybillError, errorCodes, isWaybillError } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import { systemPorts } from '../system.ts'
import { testPorts } from '../testing/ports.ts'
import { beginInCallback } from './callback-transaction.ts'
import type { ConnectedTool } from './connected-tool.fixture.ts'
import { testCrossing, testFailing } from './postgres-crossing.fixture.ts'

export interface PostgresTool<Tx> {
  readonly name: string
  connect(url: string): Promise<ConnectedTool<Tx>>
  /** Its pool never gets a connection back that broke in COMMIT. */
  readonly losesConnections?: boolean
  /** Promises of the suite that the tool cannot keep, each with the reason. */
  readonly notClaimed?: Readonly<Record<string, string>>
}

const timeoutMs = 30_000
const claims: DatabaseClaims = {
  mode: 'async',
  dialect: 'postgres',
  prepares: false,
  fillsUp: false,
  refusals: [
    { what: 'a server that is not there', code: 'store.io' },
    { what: 'a schema with an odd name', code: 'config.invalid' },
  ],
  unsafeHandles: [{ what: 'the handle outside of transactions', code: 'publish.no-transaction' }],
}
const control = [
  'commit',
  'COMMIT;',
  'end transaction',
  'rollback',
  'abort',
  'begin',
  'start transaction',
  "prepare transaction 'x'",
  '-- done\ncommit',
  '/* done; */ commit',
  '; commit',
  'select 1; commit',
]
const notClaimed: Readonly<Record<string, string>> = {
  'processes that start together on an empty database migrate it once':
    'not claimed: it is run over pg, and migrates with the same statements here',
}

/** The suite of handles over a tool, on a real server. */
export async function testTool<Tx>(tool: PostgresTool<Tx>): Promise<void> {
  const found = await requireService('postgres')
  const server = new ToolServer(tool, 'url' in found ? found.url : '')
  afterAll(() => server.close('url' in found))
  describe.skipIf('skipped' in found)(`the database over ${tool.name}`, () => {
    for (const { name, run, skip } of databaseSuite(() => server.subject(), claims)) {
      const reason = skip ?? tool.notClaimed?.[name] ?? notClaimed[name]
      const declare = reason === undefined ? test : test.skip
      declare(reason === undefined ? name : `${name} (${reason})`, run, timeoutMs)
    }
    testCrossing(() => server.fresh())
    testFailing(() => server.fresh(), tool.losesConnections !== true)
  })
}

class ToolServer<Tx> {
  readonly #tool: PostgresTool<Tx>
  readonly #url: string
  readonly #pool: Pool
  readonly #schema = `d_${systemPorts.ids.message().replaceAll('-', '').slice(-20)}`
  readonly #others: (() => Promise<unknown>)[] = []
  #connected: Promise<ConnectedTool<Tx>> | undefined

  constructor(tool: PostgresTool<Tx>, url: string) {
    this.#tool = tool
    this.#url = url
    this.#pool = poolOf(url)
  }

  async close(isThere: boolean): Promise<void> {
    await (await this.#connected)?.close()
    for (const remove of this.#others) await remove()
    if (isThere) await this.#pool.query(`drop schema if exists "${this.#schema}" cascade`)
    await this.#pool.end()
  }

  /** A database with Waybill's tables, and a pool on it for what the test itself asks. */
  async fresh(): Promise<{ tool: ConnectedTool<Tx>; pool: Pool }> {
    const other = await freshDatabase('postgres', this.#url)
    const pool = poolOf(other.url)
    const tool = await this.#connectElsewhere(other.url, async () => {
      await pool.end()
      await other.drop()
    })
    await tool.database({}).open(testPorts(), { service: 'order', migrate: 'auto' }).ready()
    return { tool, pool }
  }

  async subject(): Promise<HandleSubject<Tx>> {
    const ports = testPorts()
    this.#connected ??= this.#tool.connect(this.#url)
    const connected = await this.#connected
    const subject = await postgresSubject<Tx>({
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
      control,
      empty: () => this.#empty(ports),
      openInProcesses: () => Promise.reject(new Error('not claimed')),
      pretendNewer: async (version, since) => {
        const set = `update "${this.#schema}".waybill_meta set value = $1 where name = $2`
        await this.#pool.query(set, [version, 'schema_version'])
        await this.#pool.query(set, [since, 'works_with_since'])
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
    const connected = await this.#tool.connect(url)
    this.#others.push(async () => {
      await connected.close()
      await remove()
    })
    return connected
  }

  async #empty(ports: Ports): Promise<{ open(migrate: 'auto' | 'check'): Promise<OpenDatabase<Tx>> }> {
    const other = await freshDatabase('postgres', this.#url)
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
    const url = isOddName ? this.#url : 'postgres://postgres@127.0.0.1:1/postgres'
    const connected = await this.#connectElsewhere(url, async () => {})
    const database = connected.database(isOddName ? { schema: 'Odd"' } : {})
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
      open = await beginInCallback(transaction)
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

/** A pool whose end does not wait until its connections are closed, as all of `pg` do: dropping the database then breaks some. */
export function poolOf(url: string): Pool {
  const pool = new Pool({ connectionString: url, max: 20 })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}
