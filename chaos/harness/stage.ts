import { DatabaseSync } from 'node:sqlite'
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import type { TestContext } from 'vitest'
import { temporaryFolder, until } from '../../src/testing/index.ts'
import type { ConsumerConfig, GroupConfig } from '../programs/consumer.ts'
import type { HalfConfig } from '../programs/half.ts'
import { type OrderBody, healedFile } from '../programs/messages.ts'
import type { OrderConfig } from '../programs/order.ts'
import { type Ended, Running } from './running.ts'

export const cleanEnd: Ended = { code: 0, signal: null }
export const killed: Ended = { code: null, signal: 'SIGKILL' }

export interface StageOptions {
  readonly queues?: number
  readonly leaseMs?: number
}

const lookEveryMs = 50
const publishedByTopic =
  'select topic, count(*) as n from waybill_messages where source is null group by topic'
const wantedByTopic = `select topic, (select count(*) from waybill_messages m where m.topic = c.topic) as n
  from waybill_cursors c where reader not like '@%' group by topic`

type Row = Readonly<Record<string, unknown>>

/** One test's folder, its databases, and the processes that work on them: none of them outlives the test. */
export class Stage {
  readonly queues: number
  readonly leaseMs: number
  readonly #folder = temporaryFolder()
  readonly #processes: Running[] = []
  readonly #databases = new Map<string, DatabaseSync>()

  constructor(context: TestContext, options: StageOptions = {}) {
    this.queues = options.queues ?? 4
    this.leaseMs = options.leaseMs ?? 1_000
    context.onTestFailed(() => {
      for (const { name, pid, output } of this.#processes)
        if (output !== '') console.error(`--- ${name} (${pid})\n${output}`)
    })
    context.onTestFinished(async () => {
      await Promise.all(this.#processes.map((running) => running.kill()))
      for (const database of this.#databases.values()) database.close()
      this.#folder.remove()
    })
  }

  order(config: Partial<OrderConfig> = {}, env: Readonly<Record<string, string>> = {}): Running {
    const { queues, leaseMs } = this
    return this.#start('order', { folder: this.#folder.path, queues, leaseMs, ...config }, env)
  }

  consumer(
    service: string,
    groups: readonly GroupConfig[],
    env: Readonly<Record<string, string>> = {},
    config: Partial<ConsumerConfig> = {},
  ): Running {
    const { queues, leaseMs } = this
    return this.#start(
      'consumer',
      { folder: this.#folder.path, queues, leaseMs, service, groups, ...config },
      env,
    )
  }

  /** The order service with half messages: a producer if it has orders, else who answers and consumes. */
  half(config: Pick<HalfConfig, 'business' | 'orders'>, env: Readonly<Record<string, string>> = {}): Running {
    return this.#start('half', { folder: this.#folder.path, leaseMs: this.leaseMs, ...config }, env)
  }

  /** What no process is needed for: the third party is healthy again. */
  heal(): void {
    writeFileSync(this.#folder.file(healedFile), '')
  }

  /** Whether somebody is writing into a service's database. */
  isLocked(service: string): boolean {
    const database = new DatabaseSync(this.#folder.file(`${service}.db`), { timeout: 0 })
    try {
      database.exec('begin immediate; rollback')
      return false
    } catch {
      return true
    } finally {
      database.close()
    }
  }

  /** The rows of a query over a service's database; none while its file or its tables are not there yet. */
  rows(service: string, sql: string, ...params: readonly (string | number)[]): readonly Row[] {
    const file = this.#folder.file(`${service}.db`)
    let database = this.#databases.get(service)
    if (!database) {
      if (!existsSync(file)) return []
      database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 })
      this.#databases.set(service, database)
    }
    try {
      return database.prepare(sql).all(...params) as Row[]
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('no such')) return []
      throw error
    }
  }

  number(service: string, sql: string, ...params: readonly (string | number)[]): number {
    return Number(Object.values(this.rows(service, sql, ...params)[0] ?? {})[0] ?? 0)
  }

  /** Every message has been relayed, landed and settled, in all services, and none waits to be tried again. */
  async drained(services: readonly string[], withinMs?: number): Promise<void> {
    // It looks at many tables: at every turn of `until` it would take the time that the processes under test need.
    const isDrained = async (): Promise<boolean> => {
      await wait(lookEveryMs)
      return this.waitsFor(services).length === 0
    }
    try {
      await until('all is drained', isDrained, withinMs)
    } catch (cause) {
      throw new Error(`not drained: ${JSON.stringify(this.waitsFor(services))}`, { cause })
    }
  }

  /** What is still to be done, by service: nothing, once all is drained. */
  waitsFor(services: readonly string[]): readonly Row[] {
    const lag = 'select reader, topic, queue, waiting from waybill_v_lag where waiting > 0'
    const open = `select "group", state, count(*) as n from waybill_v_dispositions where state in ('running', 'retrying') group by 1, 2`
    const published = new Map<unknown, number>()
    for (const service of ['order', ...services])
      for (const { topic, n } of this.rows(service, publishedByTopic))
        published.set(topic, (published.get(topic) ?? 0) + Number(n))
    return [
      ...this.rows('order', lag),
      ...this.rows('broker', lag),
      ...services.flatMap((service) => {
        const wanted = this.rows(service, wantedByTopic)
        // One that has not got so far as to declare its groups has everything before it.
        if (wanted.length === 0) return [{ service, missing: 'groups' }]
        const missing = wanted.flatMap(({ topic, n }) => {
          const count = (published.get(topic) ?? 0) - Number(n)
          return count > 0 ? [{ service, topic, missing: count }] : []
        })
        return [...this.rows(service, lag), ...this.rows(service, open), ...missing]
      }),
    ]
  }

  /** An ordinary program, without any ports of tests. */
  plain(env: Readonly<Record<string, string>>): Running {
    return this.#start('plain', { folder: this.#folder.path }, env)
  }

  #start(program: string, config: object, env: Readonly<Record<string, string>>): Running {
    const file = this.#folder.file(`${program}-${this.#processes.length}.json`)
    writeFileSync(file, JSON.stringify(config))
    const running = new Running(program, file, env)
    this.#processes.push(running)
    return running
  }
}

/** Orders from … to, over some accounts; `like` says what is special about one. */
export function orders(
  from: number,
  to: number,
  like: (n: number) => Partial<OrderBody> = () => ({}),
  accounts = 7,
): readonly OrderBody[] {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const n = from + i
    return { n, account: `account-${n % accounts}`, ...like(n) }
  })
}

/** The numbers of one account's orders up to a number: 1, 4, 7 … for account 1 of three. */
export function numbersOf(account: number, upTo: number, accounts: number): readonly number[] {
  return orders(1, upTo, undefined, accounts)
    .filter((order) => order.account === `account-${account}`)
    .map(({ n }) => n)
}
