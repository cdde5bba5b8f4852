import { type TestContext, expect } from 'vitest'
import { Waybill, type WaybillOptions, fixedRetries, isWaybillError, topic } from 'waybill'
import type { ServiceName } from '../../../scripts/services/index.ts'
import type { MessageId } from '../../../src/core/ids.ts'
import { type Log, silentLog } from '../../../src/core/log.ts'
import { until } from '../../../src/testing/index.ts'
import { type Handle, type HandleOptions, type Tx, handleOf } from './handles.ts'

export type Instance = Waybill<Tx, 'async'>
export type Order = { readonly n: number }

export const OrderPaid = topic<Order>('order.paid', undefined, { queues: 3 })
export const group = 'coupon'

/** As short as it may be: what a dead one held is taken over soon. */
export const leaseMs = 1_000
/** Recovery of a server on a busy machine is no fault. */
const settledWithinMs = 60_000
const passing = ['store.busy', 'store.io', 'store.read-only', 'store.disk-full'] as const

type Work = (order: Order, context: { readonly tx: Tx; readonly attempt: number }) => unknown

/**
 * One database in which orders are placed and take effect. Both tables are without unique keys, so that the database hides
 * nothing: an order that is there twice, or took effect twice, has two rows.
 */
export class Shop implements AsyncDisposable {
  readonly name: ServiceName
  readonly url: string
  /** Looks, and never is a victim. */
  readonly witness: Handle
  /** What was logged as the reason of something, and has no code. */
  readonly uncoded: unknown[] = []
  readonly warnings = new Map<string, number>()
  /** Hears of each warning. */
  onWarning = (): void => {}
  readonly #log: Log
  readonly #handles: Handle[] = []
  readonly #running = new Set<Instance>()

  private constructor(name: ServiceName, url: string) {
    this.name = name
    this.url = url
    this.witness = this.connect()
    const note = ({ err }: { readonly err?: unknown }): void => {
      if (err !== undefined && !isWaybillError(err)) this.uncoded.push(err)
    }
    const warn = (facts: object, message: string): void => {
      note(facts)
      this.warnings.set(message, (this.warnings.get(message) ?? 0) + 1)
      this.onWarning()
    }
    this.#log = { ...silentLog, warn, error: note }
  }

  /** Makes the tables. `await using` closes whatever was opened here at the end of the block. */
  static async open(context: TestContext, name: ServiceName, url: string): Promise<Shop> {
    const shop = new Shop(name, url)
    context.onTestFailed(() => console.error(shop.warnings))
    const instance = shop.instance()
    await instance.schema()
    await shop.witness.query('create table orders (n integer not null)')
    await shop.witness.query('create table effects (n integer not null)')
    await shop.witness.query('create table stock (id integer primary key, amount integer not null)')
    await shop.witness.query('insert into stock values (1, 0), (2, 0)')
    await instance.stop()
    return shop
  }

  connect(options: HandleOptions = {}, url = this.url): Handle {
    const handle = handleOf(this.name, url, options)
    this.#handles.push(handle)
    return handle
  }

  instance(handle: Handle = this.connect(), options: Partial<WaybillOptions<Tx, 'async'>> = {}): Instance {
    const { database } = handle
    const instance = new Waybill<Tx, 'async'>({
      service: 'order',
      database,
      migrate: 'auto',
      leaseMs,
      log: this.#log,
      ...options,
    })
    this.#running.add(instance)
    return instance
  }

  /** An instance of the group: notes the effect of each order with its receipt, then does what is asked. */
  async consumer(handle: Handle = this.connect(), work: Work = () => {}): Promise<Instance> {
    const instance = this.instance(handle)
    instance.consume(
      OrderPaid,
      { group, from: 'oldest', retry: fixedRetries('10ms', '50ms', '100ms', '200ms') },
      async ({ body }, { tx, attempt }) => {
        await handle.on(tx, 'insert into effects values (?)', body.n)
        await work(body, { tx, attempt })
      },
    )
    await instance.start()
    return instance
  }

  /** Places an order with its message, in one transaction. */
  place(instance: Instance, handle: Handle, n: number): Promise<void> {
    return instance.transaction(async (tx) => {
      await handle.on(tx, 'insert into orders values (?)', n)
      await instance.publish(tx, OrderPaid, { key: `order-${n}`, shardingKey: `user-${n % 7}`, body: { n } })
    })
  }

  /** The same as a careful service does it: again after what passes, and after an unanswered COMMIT only if it is not there. */
  async placeSurely(instance: Instance, handle: Handle, n: number): Promise<void> {
    await until(`order ${n} is placed`, () => this.#isPlaced(instance, handle, n), settledWithinMs)
  }

  async #isPlaced(instance: Instance, handle: Handle, n: number): Promise<boolean> {
    try {
      await this.place(instance, handle, n)
      return true
    } catch (error) {
      if (isWaybillError(error, ...passing)) return false
      if (!isWaybillError(error, 'store.commit-unknown')) throw error
      const [id] = error.facts['messages'] as readonly MessageId[]
      const search = (): Promise<readonly unknown[] | undefined> =>
        ifAnswered(() => instance.search({ id: id! }))
      return (await until('the database can be asked', search, settledWithinMs)).length > 0
    }
  }

  /** Places orders one after the other until it is told to stop; answers the number of the last. */
  placing(
    instance: Instance,
    handle: Handle,
    from: number,
  ): { readonly last: () => number; stop(): Promise<number> } {
    let last = from - 1
    let isStopping = false
    const done = (async () => {
      while (!isStopping) {
        await this.placeSurely(instance, handle, last + 1)
        last++
      }
    })()
    // Whoever stops it hears of it.
    done.catch(() => {})
    return {
      last: () => last,
      stop: async () => {
        isStopping = true
        await done
        return last
      },
    }
  }

  async handled(): Promise<readonly number[]> {
    return (await this.witness.query('select n from effects')).map(({ n }) => Number(n))
  }

  async placed(): Promise<readonly number[]> {
    return (await this.witness.query('select n from orders')).map(({ n }) => Number(n))
  }

  /** Waits until that many different orders have taken effect, and nothing is left to be done. */
  async settled(count: number): Promise<void> {
    const areHandled = async (): Promise<boolean> =>
      new Set(await ifAnswered(() => this.handled())).size >= count
    await until(`${count} orders have taken effect`, areHandled, settledWithinMs)
    await until('nothing waits', async () => (await this.#waiting()) === 0, settledWithinMs)
  }

  async #waiting(): Promise<number> {
    const open = "select count(*) as n from waybill_dispositions where state in ('running', 'retrying')"
    const [row] = await this.witness.query(open)
    const instance = [...this.#running].at(-1)!
    const lag = await instance.lag()
    return Number(row!['n']) + lag.reduce((sum, { waiting }) => sum + waiting, 0)
  }

  /** Before the database is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    const stop = (instance: Instance) => instance.stop({ withinMs: 0 }).catch(() => {})
    await until('all instances have stopped', () => Promise.all([...this.#running].map(stop)))
    await until('all pools have ended', () =>
      Promise.all(this.#handles.map((handle) => handle.end().catch(() => {}))),
    )
  }
}

/** Undefined where it fails: the server may be away. */
export async function ifAnswered<R>(work: () => Promise<R>): Promise<R | undefined> {
  try {
    return await work()
  } catch {
    return undefined
  }
}

/** Every order is there once and took effect once, and nothing else did. */
export async function expectAllOnce(shop: Shop, orders: readonly number[]): Promise<void> {
  const ascending = (all: readonly number[]): readonly number[] => all.toSorted((a, b) => a - b)
  await shop.settled(orders.length)
  expect(ascending(await shop.placed())).toEqual(ascending(orders))
  expect(ascending(await shop.handled())).toEqual(ascending(orders))
}

export function numbers(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}
