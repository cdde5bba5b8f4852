import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { rename, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { type Pool as MyPool, createPool } from 'mysql2/promise'
import { Pool as PgPool } from 'pg'
import {
  type PrivateServer,
  type ServiceName,
  type TestDatabase,
  freshDatabase,
  haltService,
  removeService,
  restartService,
  startPrivateService,
} from '../../../scripts/services/index.ts'
import { silentLog } from '../../core/log.ts'
import { mysql2 } from '../../databases/mysql2.ts'
import { pg } from '../../databases/pg.ts'
import { type NewMessage, Waybill, fixedRetries, topic } from '../../index.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { until } from '../../testing/until.ts'
import { databaseTransport } from './index.ts'

export const OrderPaid = topic<{ n: number }>('order.paid')
const keys = 5
const leaseMs = 1_500
const runFile = promisify(execFile)

/** What a service needs of a database; the tests are the same for all of them. */
interface Reached {
  open(): any
  insert(tx: any, n: number): Promise<void>
  ask(sql: string): Promise<readonly Record<string, unknown>[]>
  end(): Promise<void>
}

/** The publisher's database, the one between, and the consumer's. */
export type Role = 'order' | 'broker' | 'coupon'
const roles: readonly Role[] = ['order', 'broker', 'coupon']

/** They are only ever stopped cleanly, so that nothing that they write needs to be synced. A recovery ends where its log does. */
const settings = {
  postgres: { fsync: 'off', restore_command: 'false' },
  mariadb: { 'innodb-flush-log-at-trx-commit': '0', 'innodb-flush-method': 'nosync' },
}

/** Servers that can be put back to an older state, for one test after the other: making the data of a new one takes longer than a test. */
export class Servers {
  readonly kind: ServiceName
  /** A server whose databases need not be put back. */
  readonly sharedUrl: string
  readonly #all = new Set<PrivateServer>()
  readonly #idle: PrivateServer[] = []

  constructor(kind: ServiceName, sharedUrl: string) {
    this.kind = kind
    this.sharedUrl = sharedUrl
  }

  async take(): Promise<PrivateServer> {
    const idle = this.#idle.pop()
    if (idle) return idle
    const server = await startPrivateService(this.kind, { settings: settings[this.kind] })
    this.#all.add(server)
    return server
  }

  giveBack(server: PrivateServer): void {
    this.#idle.push(server)
  }

  async close(): Promise<void> {
    for (const server of this.#all) await removeService(server)
  }
}

/** A publishing and a consuming service, with a database between, some of them on servers that can be put back to an older state. */
export class Fleet implements AsyncDisposable {
  readonly #said: string[] = []
  readonly #all: Servers
  readonly #folder = temporaryFolder()
  readonly #servers = new Map<Role, PrivateServer>()
  readonly #databases: TestDatabase[] = []
  readonly #reached = new Map<Role, Reached>()
  readonly #running = new Set<Waybill<any, any>>()
  /** What a handler has written, whether it was committed or not, and whether it is still there. */
  readonly #written = new Set<number>()
  #copies = 0
  #order!: Waybill<any, any>
  #coupon!: Waybill<any, any>

  private constructor(servers: Servers) {
    this.#all = servers
  }

  /** Two services that are up; `rewindable` are each on a server of their own. */
  static async start(servers: Servers, ...rewindable: readonly Role[]): Promise<Fleet> {
    const fleet = new Fleet(servers)
    try {
      for (const role of roles) await fleet.#reach(role, rewindable.includes(role))
      await fleet.ask('coupon', 'create table effects (at bigint, n integer)')
      await fleet.startServices()
    } catch (error) {
      await fleet[Symbol.asyncDispose]()
      throw error
    }
    return fleet
  }

  async #reach(role: Role, isRewindable: boolean): Promise<void> {
    const { kind, sharedUrl } = this.#all
    const server = isRewindable ? await this.#all.take() : undefined
    if (server) this.#servers.set(role, server)
    const database = await freshDatabase(kind, server?.url ?? sharedUrl)
    this.#databases.push(database)
    this.#reached.set(role, kind === 'postgres' ? overPg(database.url) : overMysql2(database.url))
  }

  ask(role: Role, sql: string): Promise<readonly Record<string, unknown>[]> {
    return this.#reached.get(role)!.ask(sql)
  }

  #open(service: 'order' | 'coupon'): Waybill<any, any> {
    const note = (_: object, text: string): void => void this.#said.push(text)
    const instance = new Waybill<any, any>({
      service,
      database: this.#reached.get(service)!.open(),
      transport: databaseTransport({ database: this.#reached.get('broker')!.open() }),
      migrate: 'auto',
      leaseMs,
      log: { ...silentLog, warn: note, error: note },
    })
    this.#running.add(instance)
    return instance
  }

  async startConsumer(): Promise<void> {
    this.#coupon = this.#open('coupon')
    this.#coupon.consume(
      OrderPaid,
      { group: 'coupon', from: 'oldest', order: 'sharding-key', retry: fixedRetries('20ms', '20ms', '20ms') },
      async ({ body }: { body: { n: number } }, { tx }: any) => {
        await this.#reached.get('coupon')!.insert(tx, body.n)
        this.#written.add(body.n)
      },
    )
    await this.#coupon.start()
  }

  async stopConsumer(): Promise<void> {
    this.#running.delete(this.#coupon)
    await this.#coupon.stop()
  }

  async publish(from: number, to: number): Promise<void> {
    for (let n = from; n <= to; n += keys)
      await this.#order.transaction((tx) =>
        this.#order.publish(tx, OrderPaid, numbers(n, Math.min(to, n + keys - 1)).map(messageOf)),
      )
  }

  async untilSent(): Promise<void> {
    await until('all of it was sent', async () => {
      const lag = await this.#order.lag()
      return lag.filter(({ reader }) => reader === '@relay').every(({ waiting }) => waiting === 0)
    })
  }

  async untilSaid(what: RegExp): Promise<void> {
    await until(`somebody says ${what}`, () => this.#said.some((text) => what.test(text)))
  }

  /** In the order in which they took effect. */
  async effects(): Promise<readonly number[]> {
    return (await this.ask('coupon', 'select n from effects order by at')).map(({ n }) => Number(n))
  }

  async untilEffects(...wanted: readonly number[]): Promise<void> {
    const missing = async (): Promise<readonly number[]> => {
      const there = new Set(await this.effects())
      return wanted.filter((n) => !there.has(n))
    }
    try {
      // Asking the server all the time would take what it works with.
      await until('all were written', () => wanted.every((n) => this.#written.has(n)))
      await until('all have taken effect', async () => (await missing()).length === 0)
    } catch (error) {
      throw new Error(`${(await missing()).join(' ')} have no effect; ${this.#said.slice(-5).join(' | ')}`, {
        cause: error,
      })
    }
  }

  async untilNothingIsLeft(): Promise<void> {
    await until('the consumer has nothing left to do', async () =>
      (await this.#coupon.lag()).every(({ waiting }) => waiting === 0),
    )
  }

  /** The services stay up, and wait for it. */
  async copy(role: Role): Promise<string> {
    const server = this.#servers.get(role)!
    const copy = this.#folder.file(`copy-${++this.#copies}`)
    await haltService(server)
    await runFile('cp', ['-a', server.dataFolder, copy])
    await restartService(server)
    return copy
  }

  /** What an operator does who puts an older backup under a server, which uses it up. `prepare` is told the data folder. */
  async putBack(role: Role, copy: string, prepare?: (dataFolder: string) => void): Promise<void> {
    const server = this.#servers.get(role)!
    await haltService(server)
    await rm(server.dataFolder, { recursive: true })
    await rename(copy, server.dataFolder)
    prepare?.(server.dataFolder)
    await restartService(server)
  }

  async stopServices(): Promise<void> {
    for (const instance of this.#running) await instance.stop({ withinMs: 500 })
    this.#running.clear()
  }

  async startServices(): Promise<void> {
    this.#order = this.#open('order')
    await this.#order.start()
    await this.startConsumer()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const instance of this.#running) await instance.stop({ withinMs: 0 }).catch(() => {})
    for (const { end } of this.#reached.values()) await end()
    for (const database of this.#databases) await database.drop()
    for (const server of this.#servers.values()) this.#all.giveBack(server)
    this.#folder.remove()
  }
}

function messageOf(n: number): NewMessage<{ n: number }> {
  return { key: String(n), shardingKey: `key-${n % keys}`, body: { n } }
}

const now = {
  postgres: 'floor(extract(epoch from clock_timestamp()) * 1000000)',
  mariadb: 'floor(unix_timestamp(sysdate(6)) * 1000000)',
}

function overPg(url: string): Reached {
  const pool = new PgPool({ connectionString: url, max: 20 })
  pool.on('error', () => {})
  return {
    open: () => pg(pool),
    insert: (tx, n) => tx.query(`insert into effects values (${now.postgres}, $1)`, [n]),
    ask: async (sql) => (await pool.query(sql)).rows as Record<string, unknown>[],
    end: () => pool.end(),
  }
}

function overMysql2(url: string): Reached {
  const pool: MyPool = createPool({ uri: url, connectionLimit: 20 })
  return {
    open: () => mysql2(pool),
    insert: (tx, n) => tx.query(`insert into effects values (${now.mariadb}, ?)`, [n]),
    ask: async (sql) => (await pool.query(sql))[0] as Record<string, unknown>[],
    end: () => pool.end(),
  }
}

/** Nothing is left to come, and of each number there is one effect, in the order of its key. */
export async function expectOnceEach(fleet: Fleet, ...wanted: readonly number[]): Promise<void> {
  await fleet.untilEffects(...wanted)
  await fleet.untilNothingIsLeft()
  const effects = await fleet.effects()
  assert.deepEqual(
    effects.toSorted((a, b) => a - b),
    wanted.toSorted((a, b) => a - b),
  )
  for (let key = 0; key < keys; key++) {
    const ofKey = effects.filter((n) => n % keys === key)
    assert.deepEqual(
      ofKey,
      ofKey.toSorted((a, b) => a - b),
    )
  }
}

export function numbers(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}
