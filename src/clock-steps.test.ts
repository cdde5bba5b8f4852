import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from './core/log.ts'
import { type SqliteTx, sqlite } from './databases/sqlite.ts'
import { type HalfAnswer, Waybill, fixedRetries, topic } from './index.ts'
import { systemPorts } from './system.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'
import { until } from './testing/until.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

/**
 * The host's clock jumps, and is set right again some time later. While it is wrong, things may come too early or too late; but
 * nothing is lost, nothing comes twice, and nothing waits for ever once it is right.
 */
const hour = 3_600_000
const steps = [
  ['goes back an hour', -hour],
  ['goes forward an hour', hour],
] as const

const Order = topic<{ n: number }>('order.paid', undefined, {
  queues: 2,
  half: { checkEvery: '30s', checks: 15 },
})

interface Opened {
  readonly waybill: Waybill<SqliteTx, 'sync'>
  readonly own: VirtualClock
}

interface Behaviour {
  /** Throws for what is to fail. */
  readonly handle?: (n: number) => void | Promise<void>
  readonly check?: (n: number) => HalfAnswer
  readonly own?: VirtualClock
}

let folder: ReturnType<typeof temporaryFolder>
let clock: VirtualClock
let handled: number[]
let opened: readonly Opened[] = []

/** An instance that handles orders in order, answers checks, and has the host's clock unless it is given one of its own. */
function open({ handle, check = () => 'unknown', own = clock }: Behaviour = {}): Waybill<SqliteTx, 'sync'> {
  const waybill = new Waybill({
    service: 'order',
    database: sqlite(folder.file('order.db')),
    log: silentLog,
    ports: { ...systemPorts, clock: own, log: silentLog },
  })
  waybill.onCheckBack(Order, async (half) => check(half.body.n))
  waybill.consume(
    Order,
    { group: 'red-packet', from: 'oldest', order: 'sharding-key', retry: fixedRetries('10s', '10s', '10s') },
    async (message, { tx }) => {
      await handle?.(message.body.n)
      tx.prepare('insert into effects values (?)').run(message.body.n)
      waybill.afterCommit(tx, () => void handled.push(message.body.n))
    },
  )
  opened = [...opened, { waybill, own }]
  return waybill
}

async function started(behaviour: Behaviour = {}): Promise<Waybill<SqliteTx, 'sync'>> {
  const waybill = open(behaviour)
  await waybill.start()
  return waybill
}

async function pass(ms: number, own: VirtualClock = clock): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) await own.advance(Math.min(1_000, left))
}

/** All but the dead stop, time goes on without them, and another one starts. */
async function later(ms: number, behaviour: Behaviour = {}): Promise<Waybill<SqliteTx, 'sync'>> {
  await stop(({ own }) => own === clock)
  await clock.advance(ms)
  return started(behaviour)
}

async function stop(which: (one: Opened) => boolean = () => true): Promise<void> {
  const stopping = opened.filter(which)
  opened = opened.filter((one) => !which(one))
  for (const { waybill, own } of stopping)
    await Promise.all([waybill.stop({ withinMs: 0 }), pass(1_000, own)])
}

/** Waits in real time, for what is heard through the file, while virtual time goes on by seconds. */
function soon(what: string, condition: () => unknown): Promise<unknown> {
  return until(what, async () => {
    await pass(100)
    return condition()
  })
}

/** Each took effect once: in the table, which has no unique key, too. */
async function expectOnce(waybill: Waybill<SqliteTx, 'sync'>, numbers: readonly number[]): Promise<void> {
  const effects = await waybill.transaction((tx) =>
    tx
      .prepare('select n from effects')
      .all()
      .map((row: { n: number }) => row.n),
  )
  expect(effects.toSorted((a, b) => a - b)).toEqual(numbers)
  expect(await waybill.deadLetters.list()).toEqual([])
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

beforeEach(async () => {
  folder = temporaryFolder()
  clock = new VirtualClock()
  handled = []
  await open().transaction((tx) => tx.exec('create table effects (n integer)'))
})

afterEach(async () => {
  await stop()
  folder.remove()
})

describe.each(steps)('the clock %s and is set right a minute later', (_, step) => {
  /** A minute of wrong time, with something done in it. */
  async function wrongMinute(meanwhile: () => unknown = () => {}): Promise<void> {
    clock.step(step)
    await pass(5_000)
    await meanwhile()
    await pass(55_000)
    clock.step(-step)
  }

  test('what is published before, meanwhile and afterwards is delivered at once, in order', async () => {
    const waybill = await started()
    await started()
    const publish = async (n: number): Promise<void> => {
      await waybill.publishNow(Order, { shardingKey: 'user', body: { n } })
    }
    await publish(0)
    await wrongMinute(async () => {
      await publish(1)
      await soon('it is there while the clock is wrong', () => handled.includes(1))
    })
    await publish(2)
    await soon('it is there', () => handled.includes(2))
    expect(handled).toEqual([0, 1, 2])
    await expectOnce(waybill, [0, 1, 2])
  })

  test('P22: delayed messages, due before, meanwhile, within the hour and later, come once', async () => {
    const waybill = await started()
    await started()
    const delays = ['20s', '40s', '2m', '30m', '59m', '61m', '2h'] as const
    for (const [n, delay] of delays.entries()) await waybill.publishNow(Order, { body: { n }, delay })
    await wrongMinute(async () => {
      await waybill.publishNow(Order, { body: { n: 7 }, delay: '10s' })
    })
    await pass(2 * 60_000)
    await later(hour)
    const last = await later(hour)
    await soon('all are there', () => handled.length >= 8)
    await expectOnce(last, upTo(8))
    expect(await last.search({ state: 'delayed' })).toEqual([])
  })

  test('P22: a delayed message that still waits can be cancelled, and one that came cannot', async () => {
    const waybill = await started()
    await waybill.publishNow(Order, { key: 'soon', body: { n: 0 }, delay: '30m' })
    await waybill.publishNow(Order, { key: 'late', body: { n: 1 }, delay: '3h' })
    await wrongMinute()
    const answers = await waybill.transaction((tx) =>
      ['soon', 'late'].map((key) => waybill.cancel(tx, Order, { key })),
    )
    expect(answers).toEqual([step > 0 ? 'too-late' : 'cancelled', 'cancelled'])
    const last = await later(4 * hour)
    await pass(5_000)
    await expectOnce(last, step > 0 ? [0] : [])
  })

  test('retries that were due before, meanwhile and afterwards are made, and the followers of their keys come in order', async () => {
    const failures = new Map<number, number>()
    const waybill = await started({
      handle: (n) => {
        failures.set(n, (failures.get(n) ?? 0) + 1)
        if (n % 10 === 0 && failures.get(n)! <= 2) throw new Error('planted')
      },
    })
    const publish = async (from: number): Promise<void> => {
      for (let n = from; n < from + 3; n++)
        await waybill.publishNow(Order, { shardingKey: `user-${from}`, body: { n } })
      await soon('its head has failed', () => failures.has(from))
    }
    await publish(0)
    await wrongMinute(() => publish(10))
    await publish(20)
    await pass(hour)
    await pass(60_000)
    await soon('all are there', () => handled.length >= 9)
    for (const from of [0, 10, 20])
      expect(handled.filter((n) => n >= from && n < from + 3)).toEqual([from, from + 1, from + 2])
    await expectOnce(waybill, [0, 1, 2, 10, 11, 12, 20, 21, 22])
  })

  test('P25: half messages are checked back in the end and decided once', async () => {
    const waybill = await started()
    const prepare = (n: number): Promise<unknown> =>
      waybill.publishHalf(Order, { key: `k${n}`, body: { n } }, async () => 'unknown')
    await prepare(0)
    await wrongMinute(() => prepare(1))
    expect(await waybill.halves.list()).toMatchObject([{ state: 'prepared' }, { state: 'prepared' }])
    await pass(60_000)
    expect(await waybill.halves.list()).toMatchObject([{ state: 'prepared' }, { state: 'prepared' }])
    const last = await later(hour, { check: () => 'commit' })
    await soon('both are there', () => handled.length >= 2)
    await expectOnce(last, [0, 1])
    expect(await last.halves.list()).toEqual([])
    expect(await last.halves.list({ states: ['committed'] })).toHaveLength(2)
  })

  test('P18: a half message that is committed meanwhile is delivered at once, and before what is published after it', async () => {
    const waybill = await started()
    const { id } = await waybill.publishHalf(
      Order,
      { shardingKey: 'user', body: { n: 0 } },
      async () => 'unknown',
    )
    await wrongMinute(async () => {
      await waybill.transaction((tx) => waybill.decide(tx, id, 'commit'))
      await waybill.publishNow(Order, { shardingKey: 'user', body: { n: 1 } })
      await soon('both are there while the clock is wrong', () => handled.length >= 2)
    })
    expect(handled).toEqual([0, 1])
    await expectOnce(waybill, [0, 1])
  })

  test('P23: local work that is in the middle of it commits with its message, or fails because a check that came too early won', async () => {
    const waybill = await started({ check: () => 'rollback' })
    await waybill.transaction((tx) => tx.exec('create table orders (n integer)'))
    const working = waybill.publishHalf(Order, { body: { n: 0 } }, async (half) => {
      clock.step(step)
      await pass(5_000)
      await waybill.transaction((tx) => {
        tx.prepare('insert into orders values (?)').run(half.body.n)
        waybill.decide(tx, half.id, 'commit')
      })
      return 'commit'
    })
    const [worked] = await Promise.allSettled([working])
    clock.step(-step)
    await pass(60_000)
    const orders = await waybill.transaction((tx) => tx.prepare('select n from orders').all())
    expect({ worked: worked.status, orders: orders.length, handled }).toEqual(
      step > 0
        ? { worked: 'rejected', orders: 0, handled: [] }
        : { worked: 'fulfilled', orders: 1, handled: [0] },
    )
  })

  test('P16: while handlers run, two instances take queues over from each other, and no effect is lost or doubled', async () => {
    const handle = (): Promise<void> => new Promise((resolve) => systemPorts.clock.afterTurn(resolve))
    const [first] = [await started({ handle }), await started({ handle })]
    const publish = (from: number): Promise<unknown> =>
      first.transaction((tx) => {
        for (let n = from; n < from + 40; n++)
          first.publish(tx, Order, { shardingKey: `user-${n % 7}`, body: { n } })
      })
    await publish(0)
    await wrongMinute(() => publish(40))
    await publish(80)
    await soon('all are there', () => handled.length >= 120)
    for (const user of upTo(7))
      expect(handled.filter((n) => n % 7 === user)).toEqual(upTo(120).filter((n) => n % 7 === user))
    await expectOnce(first, upTo(120))
  })

  test('P16: a lease that was taken while the clock was wrong, by an instance that then died, holds nothing for ever', async () => {
    const own = new VirtualClock(clock.now() + step)
    const dead = await started({ own })
    await pass(5_000, own)
    // From here on its clock stands still, and with it the instance: it neither handles nor stops.
    await dead.publishNow(Order, { body: { n: 0 } })
    await started()
    await pass(60_000)
    const successor = await later(hour)
    await soon('it is there', () => handled.length > 0)
    await expectOnce(successor, [0])
  })
})
