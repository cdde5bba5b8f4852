import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../core/log.ts'
import type { IncomingBatch } from '../core/transport.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { Waybill, topic } from '../index.ts'
import { type TestPorts, testPorts } from '../testing/ports.ts'
import { rowsOf } from '../testing/relay-bench.ts'
import { ScriptedCarrier, aborted } from '../testing/scripted-carrier.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'

/** A consuming service as a whole: what a carrier brings is landed, and handled by a group or parked. */
const hour = 3_600_000
const OrderPaid = topic<{ n: number }>('order.paid', undefined, { queues: 1 })
type Incoming = IncomingBatch['messages'][number]

let folder: ReturnType<typeof temporaryFolder>
let ports: TestPorts
let waybill: Waybill<SqliteTx, 'sync'>
let land: (batch: IncomingBatch) => Promise<void>
let position: number

async function start(): Promise<void> {
  const carrier = new ScriptedCarrier()
  carrier.bring = (given, signal) => {
    land = given
    return aborted(signal)
  }
  waybill = new Waybill({
    service: 'coupon',
    database: sqlite(folder.file('coupon.db')),
    transport: {
      name: 'scripted',
      can: { keepsOrder: true, ordersRetries: true, durable: true, rewinds: false },
      open: async () => carrier,
    },
    retention: '1h',
    log: silentLog,
    ports,
  })
  // No unique key: it would hide the very fault that the tests look for.
  await waybill.transaction((tx) => tx.exec('create table if not exists effects (n integer)'))
  waybill.consume(
    OrderPaid,
    { group: 'coupon', from: 'oldest' },
    (message, { tx }) => void tx.prepare('insert into effects values (?)').run(message.body.n),
  )
  await waybill.start()
}

async function stop(): Promise<void> {
  await Promise.all([waybill.stop({ withinMs: 0 }), ports.clock.advance(1_000)])
}

/** All stops, so much time passes, old rows are dropped as the hourly upkeep does, and all starts again. */
async function later(ms: number): Promise<void> {
  await stop()
  await ports.clock.advance(ms)
  const database = sqlite(folder.file('coupon.db')).open(ports, { service: 'coupon', migrate: 'check' })
  while ((await database.store.purge(ports.clock.now() - hour)) > 0);
  await database.close()
  await start()
}

function incoming(n: number, fields: Partial<Incoming> = {}): Incoming {
  const body = JSON.stringify({ n })
  const now = ports.clock.now()
  return {
    id: ports.ids.message(),
    service: 'order',
    topic: OrderPaid.name,
    tag: null,
    key: null,
    shardingKey: null,
    headers: {},
    body,
    bodyHash: ports.digest(body),
    publishedAt: now,
    eligibleAt: now,
    from: { source: 'database:broker', queue: 0, position: ++position },
    ...fields,
  }
}

/** The same message as its carrier brings it once more. */
function again(message: Incoming): Incoming {
  return { ...message, from: { ...message.from, position: ++position } }
}

async function bring(...messages: readonly Incoming[]): Promise<void> {
  await land({ messages, upTo: [{ ...messages.at(-1)!.from, topic: OrderPaid.name }] })
}

const rows = (sql: string): readonly unknown[] => rowsOf(folder.file('coupon.db'), sql)
const effects = (): readonly unknown[] =>
  rows('select n from effects order by rowid').map((row) => (row as { n: number }).n)

/** Brings one more and waits until it took effect: by then the group has passed what came before. */
async function expectEffects(...numbers: readonly number[]): Promise<void> {
  const last = incoming(numbers.at(-1)!)
  await bring(last)
  await until('the last one took effect', async () => {
    await ports.clock.advance(100)
    return effects().includes(numbers.at(-1))
  })
  expect(effects()).toEqual(numbers)
}

beforeEach(async () => {
  folder = temporaryFolder()
  ports = testPorts()
  position = 0
  await start()
})

afterEach(async () => {
  await stop()
  folder.remove()
})

describe('P6: a duplicate', () => {
  test('that comes after its receipt is gone is parked as older than the horizon, in plain sight, and never run', async () => {
    const message = incoming(1, { key: 'order-1' })
    await bring(message)
    await expectEffects(1, 2)
    await later(30 * hour)
    expect(rows('select message_id from waybill_dispositions')).toEqual([])
    expect(rows('select id from waybill_messages')).toEqual([])

    await bring(again(message))
    await expectEffects(1, 2, 3)
    expect(await waybill.deadLetters.list()).toMatchObject([
      { group: 'coupon', id: message.id, key: 'order-1', cause: 'receipt.older-than-horizon', attempts: 0 },
    ])
    await later(30 * hour)
    await bring(again(message))
    await expectEffects(1, 2, 3, 4)
    expect(await waybill.deadLetters.list()).toHaveLength(1)
  })

  test('that comes after its row is gone, but not its receipt, is suppressed', async () => {
    const message = incoming(1)
    await bring(message)
    await expectEffects(1, 2)
    await later(20 * hour)
    expect(rows('select id from waybill_messages')).toEqual([])
    await bring(again(message))
    await expectEffects(1, 2, 3)
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test('that comes within the horizon is suppressed, once or many times', async () => {
    const message = incoming(1)
    await bring(message, again(message))
    await bring(again(message))
    await expectEffects(1, 2)
    await later(hour / 2)
    await bring(again(message))
    await expectEffects(1, 2, 3)
    expect(await waybill.deadLetters.list()).toEqual([])
  })
})

describe('P4: another body under the same id', () => {
  async function expectCollision(first: Incoming): Promise<void> {
    expect(await waybill.deadLetters.list()).toMatchObject([
      { group: '@land', id: first.id, key: 'impostor', cause: 'receipt.id-collision' },
    ])
    const [found] = await waybill.search({ id: first.id })
    expect(found?.key).toBe(first.key)
    expect(found?.groups).toContainEqual(expect.objectContaining({ group: 'coupon', state: 'done' }))
  }

  test('while the first still waits is dead-lettered; the first takes effect once, with its own body', async () => {
    const first = incoming(1, { key: 'order-1' })
    await bring(first, incoming(99, { id: first.id, key: 'impostor' }))
    await expectEffects(1, 2)
    await expectCollision(first)
  })

  test('after the first took effect is dead-lettered, once however often it comes; the first keeps its receipt', async () => {
    const first = incoming(1, { key: 'order-1' })
    await bring(first)
    await expectEffects(1, 2)
    const impostor = incoming(99, { id: first.id, key: 'impostor' })
    await bring(impostor)
    await bring(again(impostor), again(first))
    await expectEffects(1, 2, 3)
    await expectCollision(first)
  })

  test('after the row of the first is gone, but not its receipt, is dead-lettered and not lost without a word', async () => {
    const first = incoming(1)
    await bring(first)
    await expectEffects(1, 2)
    await later(20 * hour)
    await bring(incoming(99, { id: first.id, key: 'impostor' }))
    await expectEffects(1, 2, 3)
    expect(await waybill.deadLetters.list()).toMatchObject([
      { group: '@land', id: first.id, key: 'impostor', cause: 'receipt.id-collision' },
    ])
  })
})
