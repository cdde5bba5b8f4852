import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from './core/log.ts'
import { type SqliteTx, sqlite } from './databases/sqlite.ts'
import { type Topic, Waybill, fixedRetries, topic } from './index.ts'
import { type Breakable, breakable } from './testing/breakable-database.ts'
import { rowsOf } from './testing/relay-bench.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'
import { until } from './testing/until.ts'
import { databaseTransport } from './transports/database/index.ts'

interface Order {
  readonly n: number
}
const OrderPaid = topic<Order>('order.paid')
const CouponIssued = topic<Order>('coupon.issued', undefined, { queues: 2 })
const ParcelPacked = topic<Order>('parcel.packed', undefined, { queues: 1 })

/** Which group of a service consumes what, and what it publishes then, in the same transaction. */
interface Work {
  readonly group: string
  readonly on: Topic<Order>
  readonly publishes?: Topic<Order>
  readonly from?: 'oldest' | 'now'
}

const works: Readonly<Record<string, readonly Work[]>> = {
  order: [
    { group: 'order.audit', on: OrderPaid },
    { group: 'order.tracking', on: ParcelPacked },
  ],
  coupon: [
    { group: 'coupon', on: OrderPaid, publishes: CouponIssued },
    { group: 'coupon.statistics', on: CouponIssued },
  ],
  warehouse: [
    { group: 'warehouse', on: OrderPaid, publishes: ParcelPacked },
    { group: 'warehouse.gifts', on: CouponIssued },
  ],
}

const timeout = 90_000
let folder: ReturnType<typeof temporaryFolder>
let brokerPath: string
let broker: ReturnType<typeof sqlite> & Breakable
const running = new Set<Waybill<SqliteTx, 'sync'>>()
/** Which effects each group's database has, as far as they were committed; to wait for them without asking the file again and again. */
const committed = new Map<string, Set<number>>()

beforeEach(() => {
  folder = temporaryFolder()
  brokerPath = folder.file('broker.db')
  broker = breakable(sqlite(brokerPath))
})

afterEach(async () => {
  for (const waybill of running) await stop(waybill)
  folder.remove()
})

/** An instance that is not started; it can publish. */
async function open(
  service: string,
  own: readonly Work[] = works[service]!,
): Promise<Waybill<SqliteTx, 'sync'>> {
  const waybill = new Waybill({
    service,
    database: sqlite(pathOf(service)),
    transport: databaseTransport({ database: broker }),
    leaseMs: 1_000,
    log: silentLog,
  })
  running.add(waybill)
  // No unique key: it would hide the very fault that the tests look for.
  await waybill.transaction((tx) => tx.exec('create table if not exists effects (grp text, n integer)'))
  for (const { group } of own) committed.set(group, new Set(effects(service, group)))
  for (const { group, on, publishes, from = 'oldest' } of own)
    waybill.consume(on, { group, from, retry: fixedRetries('5ms', '5ms') }, (message, context) => {
      context.tx.prepare('insert into effects values (?, ?)').run(group, message.body.n)
      waybill.afterCommit(context.tx, () => void committed.get(group)!.add(message.body.n))
      if (publishes) context.publish(publishes, { key: message.key, body: message.body })
    })
  return waybill
}

async function start(service: string, own?: readonly Work[]): Promise<Waybill<SqliteTx, 'sync'>> {
  const waybill = await open(service, own)
  await waybill.start()
  return waybill
}

async function startAll(): Promise<Record<'order' | 'coupon' | 'warehouse', Waybill<SqliteTx, 'sync'>>> {
  const [order, coupon, warehouse] = [await start('order'), await start('coupon'), await start('warehouse')]
  return { order: order!, coupon: coupon!, warehouse: warehouse! }
}

async function stop(waybill: Waybill<SqliteTx, 'sync'>): Promise<void> {
  running.delete(waybill)
  await waybill.stop()
}

async function stopAll(): Promise<void> {
  for (const waybill of running) await stop(waybill)
}

const pathOf = (service: string): string => folder.file(`${service}.db`)

/** Orders from…to, in transactions of up to four. */
async function publish(waybill: Waybill<SqliteTx, 'sync'>, from: number, to: number): Promise<void> {
  for (let first = from; first <= to; first += 4) {
    const last = Math.min(first + 3, to)
    const orders = numbers(first, last).map((n) => ({
      key: `order-${n}`,
      shardingKey: `user-${n % 5}`,
      body: { n },
    }))
    await waybill.transaction((tx) => void waybill.publish(tx, OrderPaid, orders))
  }
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)

function effects(service: string, group: string): number[] {
  return rowsOf(pathOf(service), 'select grp, n from effects order by n')
    .filter(({ grp }) => grp === group)
    .map(({ n }) => Number(n))
}

/** Waits until these groups have each had every effect, at least once. */
async function settled(
  wanted: readonly number[],
  services: readonly string[] = Object.keys(works),
): Promise<void> {
  for (const { group } of services.flatMap((service) => works[service]!)) await had(group, wanted)
}

function had(group: string, wanted: readonly number[]): Promise<unknown> {
  const effectsOf = (): ReadonlySet<number> => committed.get(group)!
  return until(`${group} has had ${wanted.length} effects`, () => wanted.every((n) => effectsOf().has(n)))
}

/** Each group's effects, as its database has them. */
function found(services: readonly string[] = Object.keys(works)): Record<string, number[]> {
  return perGroup(services, (service, group) => effects(service, group))
}

/** Each effect of each group is there, and there once. */
function once(
  wanted: readonly number[],
  services: readonly string[] = Object.keys(works),
): Record<string, number[]> {
  return perGroup(services, () => [...wanted])
}

function perGroup(
  services: readonly string[],
  of: (service: string, group: string) => number[],
): Record<string, number[]> {
  return Object.fromEntries(
    services.flatMap((service) => works[service]!.map(({ group }) => [group, of(service, group)])),
  )
}

/** Of a database that nobody has open. */
function copy(path: string): () => void {
  const parts = ['', '-wal', '-shm'].filter((suffix) => existsSync(path + suffix))
  for (const suffix of parts) copyFileSync(path + suffix, `${path}.copy${suffix}`)
  return () => {
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
    for (const suffix of parts) copyFileSync(`${path}.copy${suffix}`, path + suffix)
  }
}

describe('three services that each publish and consume', () => {
  test('every effect of every group happens once', { timeout }, async () => {
    const { order } = await startAll()
    await publish(order, 1, 24)
    await settled(numbers(1, 24))
    await stopAll()
    expect(found()).toEqual(once(numbers(1, 24)))
  })

  test('in whatever order they start, also after the messages were published', { timeout }, async () => {
    const warehouse = await start('warehouse')
    const order = await start('order')
    await publish(order, 1, 8)
    await stop(warehouse)
    await start('coupon')
    await settled(numbers(1, 8), ['coupon'])
    await start('warehouse')
    await settled(numbers(1, 8))
    await stopAll()
    expect(found()).toEqual(once(numbers(1, 8)))
  })

  test(
    'a group in the publisher’s own service consumes its log directly, and what comes back from the broker is no second message',
    { timeout },
    async () => {
      const { order } = await startAll()
      await publish(order, 1, 8)
      await settled(numbers(1, 8))
      const back = "select * from waybill_landed where topic = 'order.paid'"
      await until('its own messages came back', () => {
        const landed = rowsOf(pathOf('order'), back).reduce((sum, { pos }) => sum + Number(pos), 0)
        return landed > 0
      })
      await stopAll()
      expect(found()).toEqual(once(numbers(1, 8)))
      const log = rowsOf(pathOf('order'), "select source from waybill_messages where topic = 'order.paid'")
      expect(log).toEqual(numbers(1, 8).map(() => ({ source: null })))
      expect(rowsOf(pathOf('order'), 'select * from waybill_suppressed')).toEqual([])
    },
  )

  test('two instances of each service share the work', { timeout }, async () => {
    const { order } = await startAll()
    await startAll()
    await publish(order, 1, 16)
    await settled(numbers(1, 16))
    await publish(order, 17, 32)
    await settled(numbers(1, 32))
    await stopAll()
    expect(found()).toEqual(once(numbers(1, 32)))
  })

  test(
    'P19: publisher, broker and consumer may each have another number of queues',
    { timeout },
    async () => {
      const narrow = topic<Order>('order.paid', undefined, { queues: 1 })
      const wide = topic<Order>('order.paid', undefined, { queues: 16 })
      await start('warehouse', [{ ...works['warehouse']![0]!, on: narrow }, works['warehouse']![1]!])
      await start('coupon', [{ ...works['coupon']![0]!, on: wide }, works['coupon']![1]!])
      await publish(await start('order'), 1, 16)
      await settled(numbers(1, 16))
      await stopAll()
      expect(found()).toEqual(once(numbers(1, 16)))
      const queues = (path: string): unknown =>
        rowsOf(path, "select queues from waybill_topics where name = 'order.paid'")
      expect([queues(pathOf('order')), queues(brokerPath), queues(pathOf('coupon'))]).toEqual([
        [{ queues: 4 }],
        [{ queues: 1 }],
        [{ queues: 16 }],
      ])
    },
  )

  test('a service that adds a group and a topic later gets what it asks for', { timeout }, async () => {
    const { order, coupon } = await startAll()
    await publish(order, 1, 4)
    await settled(numbers(1, 4))
    await stop(coupon)
    await start('coupon', [
      ...works['coupon']!,
      { group: 'coupon.parcels', on: ParcelPacked, from: 'oldest' },
      { group: 'coupon.new-parcels', on: ParcelPacked, from: 'now' },
    ])
    await publish(order, 5, 8)
    await settled(numbers(1, 8))
    await had('coupon.parcels', numbers(1, 8))
    await stopAll()
    expect(found()).toEqual(once(numbers(1, 8)))
    expect(effects('coupon', 'coupon.parcels')).toEqual(numbers(1, 8))
  })
})

test(
  'a process that has published, relayed, landed, consumed and stopped ends by itself',
  { timeout },
  async () => {
    const at = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href)
    const program = `
    import { Waybill, topic } from ${at('./index.ts')}
    import { sqlite } from ${at('./databases/sqlite.ts')}
    import { databaseTransport } from ${at('./transports/database/index.ts')}
    const transport = databaseTransport({ database: sqlite(${JSON.stringify(brokerPath)}) })
    const open = (service) => new Waybill({ service, transport, database: sqlite(${JSON.stringify(folder.path)} + '/' + service + '.db') })
    const [order, coupon, paid] = [open('order'), open('coupon'), topic('order.paid')]
    coupon.consume(paid, { group: 'coupon' }, async () => {
      setImmediate(async () => {
        await Promise.all([order.stop(), coupon.stop()])
        console.log('stopped')
      })
    })
    await order.start()
    await coupon.start()
    await order.publishNow(paid, { body: { n: 1 } })`
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
      timeout: timeout / 2,
    })
    await expect(run).resolves.toMatchObject({ stdout: 'stopped\n' })
  },
)

describe('the broker database goes away', () => {
  test('at run time: publishing and local groups go on; afterwards all catches up', { timeout }, async () => {
    const { order } = await startAll()
    await publish(order, 1, 4)
    await settled(numbers(1, 4))
    const repair = broker.breakDown()
    await publish(order, 5, 16)
    await had('order.audit', numbers(1, 16))
    expect(effects('coupon', 'coupon')).toEqual(numbers(1, 4))
    repair()
    await settled(numbers(1, 16))
    await stopAll()
    expect(found()).toEqual(once(numbers(1, 16)))
  })

  test('at run time, and answers get lost on the way back', { timeout }, async () => {
    const { order } = await startAll()
    for (let round = 0; round < 3; round++) {
      broker.swallowAnswer('land')
      broker.swallowAnswer('advance')
      await publish(order, round * 4 + 1, round * 4 + 4)
      await settled(numbers(1, round * 4 + 4), ['order'])
    }
    await settled(numbers(1, 12))
    await stopAll()
    expect(found()).toEqual(once(numbers(1, 12)))
  })

  test('its folder moves away under running services, and back', { timeout }, async () => {
    const away = temporaryFolder()
    brokerPath = away.file('broker.db')
    broker = breakable(sqlite(brokerPath))
    const { order } = await startAll()
    await publish(order, 1, 4)
    await settled(numbers(1, 4))
    renameSync(away.path, `${away.path}.moved`)
    await publish(order, 5, 12)
    await had('order.audit', numbers(1, 12))
    renameSync(`${away.path}.moved`, away.path)
    await publish(order, 13, 16)
    await settled(numbers(1, 16))
    await stopAll()
    expect(found()).toEqual(once(numbers(1, 16)))
    away.remove()
  })

  test(
    'while services start: they refuse with a code, publishing works, and the next start catches up',
    { timeout },
    async () => {
      const away = temporaryFolder()
      brokerPath = away.file('broker.db')
      broker = breakable(sqlite(brokerPath))
      const before = await startAll()
      await publish(before.order, 1, 4)
      await settled(numbers(1, 4))
      await stopAll()
      renameSync(away.path, `${away.path}.moved`)
      const order = await open('order')
      await publish(order, 5, 8)
      await expect(order.start()).rejects.toMatchObject({ code: expect.stringMatching(/^store\./) })
      await expect((await open('coupon')).start()).rejects.toMatchObject({
        code: expect.stringMatching(/^store\./),
      })
      const publisher = await open('order')
      await publish(publisher, 9, 12)
      await stopAll()
      renameSync(`${away.path}.moved`, away.path)
      await startAll()
      await settled(numbers(1, 12))
      await stopAll()
      expect(found()).toEqual(once(numbers(1, 12)))
      away.remove()
    },
  )
})

describe('a database is restored from an older copy', () => {
  test(
    'P13: the consumer’s: it gets again what it has forgotten, and each effect is in it once',
    { timeout },
    async () => {
      const first = await startAll()
      await publish(first.order, 1, 8)
      await settled(numbers(1, 8))
      await stop(first.warehouse)
      const restore = copy(pathOf('warehouse'))
      await start('warehouse')
      await publish(first.order, 9, 20)
      await settled(numbers(1, 20))
      await stopAll()
      restore()
      expect(effects('warehouse', 'warehouse')).toEqual(numbers(1, 8))
      const again = await startAll()
      await settled(numbers(1, 20), ['warehouse'])
      await publish(again.order, 21, 24)
      await settled(numbers(1, 24))
      await stopAll()
      expect(found(['warehouse', 'coupon'])).toEqual(once(numbers(1, 24), ['warehouse', 'coupon']))
    },
  )

  test('P13: the consumer’s, from a copy from before it was subscribed', { timeout }, async () => {
    // It publishes nothing: what it had published before would come back to it, as what it does not know any more.
    const own = [{ group: 'coupon', on: OrderPaid }]
    const order = await start('order')
    const coupon = await open('coupon', own)
    await stop(coupon)
    const restore = copy(pathOf('coupon'))
    const second = await start('coupon', own)
    await publish(order, 1, 8)
    await had('coupon', numbers(1, 8))
    await stop(second)
    restore()
    expect(effects('coupon', 'coupon')).toEqual([])
    await start('coupon', own)
    await publish(order, 9, 12)
    await had('coupon', numbers(1, 12))
    await stopAll()
    expect(effects('coupon', 'coupon')).toEqual(numbers(1, 12))
  })

  test(
    'the publisher’s: what it has forgotten was sent and stays; what it still had to send is sent',
    { timeout },
    async () => {
      const { order } = await startAll()
      await publish(order, 1, 4)
      await settled(numbers(1, 4))
      await stop(order)
      const restore = copy(pathOf('order'))
      const second = await start('order')
      await publish(second, 5, 8)
      await settled(numbers(1, 8))
      await stop(second)
      restore()
      await publish(await start('order'), 9, 12)
      await settled([...numbers(1, 4), ...numbers(9, 12)], ['order'])
      await settled(numbers(1, 12), ['coupon', 'warehouse'])
      await stopAll()
      expect(found(['coupon', 'warehouse'])).toEqual(once(numbers(1, 12), ['coupon', 'warehouse']))
    },
  )

  test(
    'the broker’s: what has landed stays, what was not yet sent is sent, and everything new arrives',
    { timeout },
    async () => {
      const first = await startAll()
      await publish(first.order, 1, 8)
      await settled(numbers(1, 8))
      await stopAll()
      const restore = copy(brokerPath)
      const second = await startAll()
      await publish(second.order, 9, 16)
      await settled(numbers(1, 16))
      await stopAll()
      const unsent = await open('order')
      await publish(unsent, 17, 20)
      await stopAll()
      restore()
      // The positions of 9…16 are given again: to these. Whoever had landed up to 16 must not take them for known.
      const third = await startAll()
      await settled(numbers(1, 20))
      await publish(third.order, 21, 24)
      await settled(numbers(1, 24))
      await stopAll()
      expect(found()).toEqual(once(numbers(1, 24)))
    },
  )

  test(
    'P13: the broker’s, and a consumer had not landed what is gone: the relay sees that it is, and sends it again',
    { timeout },
    async () => {
      const first = await startAll()
      await publish(first.order, 1, 4)
      await settled(numbers(1, 4))
      await stopAll()
      const restore = copy(brokerPath)
      const order = await start('order')
      await publish(order, 5, 8)
      await until('all of it was sent', async () => {
        const lag = await order.lag()
        return lag.filter(({ reader }) => reader === '@relay').every(({ waiting }) => waiting === 0)
      })
      await stopAll()
      restore()
      const again = await startAll()
      await publish(again.order, 9, 12)
      await settled(numbers(1, 12))
      await stopAll()
      for (const group of ['warehouse', 'warehouse.gifts'])
        expect(effects('warehouse', group)).toEqual(numbers(1, 12))
    },
  )
})
