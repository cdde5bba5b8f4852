import { expect } from 'vitest'
import type { OpenDatabase } from '../core/database.ts'
import type { Ports } from '../core/ports.ts'
import type { LoggedMessage } from '../core/message.ts'
import type { Lease } from '../core/store.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { type ConsumeOptions, Waybill, topic } from '../index.ts'
import { systemPorts } from '../system.ts'
import { type Breakable, breakable } from '../testing/breakable-database.ts'
import { silentLog } from '../core/log.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'
import { VirtualClock } from '../testing/virtual-clock.ts'
import { databaseTransport } from '../transports/database/index.ts'
import type { VerdictCode } from './sentences.ts'
import { type FactSource, type Trace, type TraceOptions, trace } from './trace.ts'
import type { BookSource } from './ledger.ts'
import type { Verdict } from './verdict.ts'

export interface Order {
  readonly n: number
}
export const OrderPaid = topic<Order>('order.paid', undefined, { queues: 1 })
export const queue = { topic: 'order.paid', queue: 0 } as const
export const note = { by: 'ann', because: 'testing' }
export type Instance = Waybill<SqliteTx, 'sync'>
export type Handler = (n: number) => unknown

/** An order service, a broker database and a coupon service on real files, in virtual time. */
export class Scene {
  readonly clock = new VirtualClock()
  readonly ports: Ports = { ...systemPorts, clock: this.clock, log: silentLog }
  readonly broker: ReturnType<typeof sqlite> & Breakable
  readonly #folder = temporaryFolder()
  readonly #instances = new Set<Instance>()
  readonly #databases = new Map<string, OpenDatabase<SqliteTx>>()

  constructor() {
    this.broker = breakable(sqlite(this.path('broker')))
  }

  path(name: string): string {
    return this.#folder.file(`${name}.db`)
  }

  /** An instance that is not started. */
  open(service: string, transport = true): Instance {
    const instance = new Waybill({
      service,
      database: sqlite(this.path(service)),
      ...(transport ? { transport: databaseTransport({ database: this.broker }) } : {}),
      log: silentLog,
      ports: this.ports,
    })
    this.#instances.add(instance)
    return instance
  }

  /** A started instance whose group handles orders. */
  async consumer(
    service: string,
    group: string,
    handler: Handler = () => {},
    options: Partial<ConsumeOptions> & { readonly transport?: boolean } = {},
  ): Promise<Instance> {
    const { transport, ...given } = options
    const instance = this.open(service, transport ?? true)
    instance.consume(
      OrderPaid,
      { group, from: 'oldest', ...given },
      (message) => handler(message.body.n) as undefined,
    )
    await instance.start()
    return instance
  }

  async stop(...instances: readonly Instance[]): Promise<void> {
    for (const instance of instances) {
      this.#instances.delete(instance)
      let stopped = false
      const stopping = instance.stop().then(() => (stopped = true))
      await this.eventually('it has stopped', () => stopped)
      await stopping
    }
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) await this.clock.advance(Math.min(500, left))
  }

  /** Waits in real time while virtual time goes on. */
  async eventually(what: string, condition: () => unknown): Promise<void> {
    await until(what, async () => {
      await this.pass(500)
      return condition()
    })
  }

  /** The database, as a program sees it that only looks. */
  database(name: string): OpenDatabase<SqliteTx> {
    const known =
      this.#databases.get(name) ??
      sqlite(this.path(name)).open(this.ports, { service: 'looker', migrate: 'auto' })
    this.#databases.set(name, known)
    return known
  }

  source(name: string): FactSource & BookSource {
    const { facts } = this.database(name).store
    return { facts: (asked) => facts.of(asked), books: async () => facts.books }
  }

  sources(...names: readonly string[]): Record<string, FactSource & BookSource> {
    return Object.fromEntries(names.map((name) => [name, this.source(name)]))
  }

  async trace(asked: string, names: readonly string[], options: TraceOptions = {}): Promise<Trace> {
    return expectSound(await trace(this.sources(...names), asked, options))
  }

  /** The lease of the one queue, as an instance that has just taken it over. */
  async lease(name: string, reader: string): Promise<Lease> {
    const { store } = this.database(name)
    const membership = { reader, version: 1, queues: [queue], runningMax: 1 }
    const [share] = await store.share(this.ports.ids.owner(), [membership], 10_000)
    return share!.leases[0]!
  }

  /** The first message of a log. */
  async first(name: string): Promise<LoggedMessage> {
    const anybody = { reader: '@land', ...queue } as Lease
    const [message] = await this.database(name).store.read(anybody, 0, 1)
    return message!
  }

  /** Statements from outside, as a person with a shell would run them. */
  async meddle(name: string, ...statements: readonly string[]): Promise<void> {
    await this.database(name).transaction({
      work: (tx) => {
        for (const statement of statements) tx.exec(statement)
      },
    })
  }

  async dispose(): Promise<void> {
    await this.stop(...this.#instances)
    for (const database of this.#databases.values()) await database.close()
    this.#folder.remove()
  }
}

export function expectCodes(found: Trace, codes: readonly VerdictCode[]): readonly Verdict[] {
  expect(found.verdicts.map(({ code }) => code)).toEqual(codes)
  return found.verdicts
}

/** What holds of every trace: both languages, nothing left to be filled in, rows behind every sentence. */
export function expectSound(found: Trace): Trace {
  for (const { sentence, next, evidence } of found.verdicts) {
    for (const { en, zh } of [sentence, next]) {
      expect(en).not.toMatch(/[{}]|undefined|null|NaN|[\u4e00-\u9fff]/)
      expect(zh).not.toMatch(/[{}]|undefined|null|NaN/)
      expect(zh).toMatch(/[\u4e00-\u9fff]/)
    }
    expect(evidence.length).toBeGreaterThan(0)
  }
  return found
}
