import { type Pool, type PoolConnection, createConnection, createPool } from 'mysql2/promise'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type PrivateServer,
  freshDatabase,
  removeService,
  requireService,
  startPrivateService,
} from '../../../scripts/services/index.ts'
import { silentLog } from '../../core/log.ts'
import { mysql2 } from '../../databases/mysql2.ts'
import { Waybill, topic } from '../../index.ts'
import { until } from '../../testing/until.ts'

const OrderPaid = topic<{ n: number }>('order.paid')
const found = await requireService('mariadb')
type Instance = Waybill<PoolConnection, 'async'>

describe.skipIf('skipped' in found)('P12: a dump that is restored on another server', () => {
  let first: Awaited<ReturnType<typeof freshDatabase>>
  let second: PrivateServer
  const pools: Pool[] = []
  const running: Instance[] = []

  beforeEach(async () => {
    first = await freshDatabase('mariadb', (found as { url: string }).url)
    second = await startPrivateService('mariadb')
  })
  afterEach(async () => {
    for (const instance of running.splice(0)) await instance.stop({ withinMs: 0 })
    for (const pool of pools.splice(0)) await pool.end()
    await first.drop()
    await removeService(second)
  })

  function poolOf(url: string): Pool {
    const pool = createPool({ uri: url, connectionLimit: 20 })
    pools.push(pool)
    return pool
  }

  function open(pool: Pool): Instance {
    const instance = new Waybill({
      service: 'order',
      database: mysql2(pool),
      migrate: 'auto',
      leaseMs: 1_000,
      log: silentLog,
    })
    running.push(instance)
    return instance
  }

  async function publish(instance: Instance, from: number, to: number): Promise<void> {
    for (let n = from; n <= to; n++)
      await instance.publishNow(OrderPaid, { key: String(n), shardingKey: `key-${n % 5}`, body: { n } })
  }

  test('keeps every message and its order, begins a new epoch, and publishers may be at work at once', async () => {
    const publisher = open(poolOf(first.url))
    await publisher.schema()
    await publish(publisher, 1, 30)
    await publisher.lag()
    // Not in sequence yet.
    await publish(publisher, 31, 60)
    await copyAsDumped(first.url, second.url)

    const after = poolOf(second.url)
    const restored = open(after)
    await restored.schema()
    // Nobody has read here yet, and new messages are committed and open at this moment.
    const open61 = await after.getConnection()
    await open61.beginTransaction()
    await restored.publish(open61, OrderPaid, { key: '61', shardingKey: 'key-1', body: { n: 61 } })
    await publish(restored, 62, 70)
    const handled: number[] = []
    const consumer = open(after)
    consumer.consume(OrderPaid, { group: 'coupon', from: 'oldest', order: 'sharding-key' }, ({ body }) => {
      handled.push(body.n)
    })
    await consumer.start()
    await until('all but the open one are handled', () => handled.length >= 69)
    await open61.commit()
    open61.release()
    await publish(restored, 71, 90)
    await until('all are handled', () => handled.length >= 90)
    expect(handled.toSorted((a, b) => a - b)).toEqual(numbers(1, 90))
    for (let key = 0; key < 5; key++) {
      const ofKey = handled.filter((n) => n % 5 === key && n !== 61)
      expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b))
    }
    const [audited] = await after.query("select action from waybill_audit where action = 'epoch'")
    expect(audited).toHaveLength(1)
  })

  test('passes over nothing though its receipts are of a later moment than its log and its leases', async () => {
    const source = open(poolOf(first.url))
    const atSource = collecting(source, 'coupon')
    await source.start()
    await publish(source, 1, 20)
    await until('what the dump has is handled', () => atSource.length >= 20)
    await copyAsDumped(first.url, second.url, async () => {
      const later = open(poolOf(first.url))
      const atLater = collecting(later, 'red-packet')
      await later.start()
      await publish(source, 21, 40)
      await until('what it has not is handled', () => atSource.length >= 40 && atLater.length >= 40)
    })

    const restored = open(poolOf(second.url))
    const [coupons, warehouse] = [collecting(restored, 'coupon'), collecting(restored, 'warehouse')]
    await restored.start()
    await publish(restored, 41, 60)
    await until('all that is there is handled', () => coupons.length >= 20 && warehouse.length >= 40)
    expect(coupons.toSorted((a, b) => a - b)).toEqual(numbers(41, 60))
    expect(warehouse.toSorted((a, b) => a - b)).toEqual([...numbers(1, 20), ...numbers(41, 60)])
  })
})

function collecting(instance: Instance, group: string): readonly number[] {
  const handled: number[] = []
  instance.consume(OrderPaid, { group, from: 'oldest' }, ({ body }) => {
    handled.push(body.n)
  })
  return handled
}

function numbers(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

const receipts = 'waybill_taken'

/**
 * What mysqldump --single-transaction takes: the tables as they are created, and the rows of one moment. What is done meanwhile is in
 * the receipts, and in the few tables that come after them, as it can be without that option.
 */
async function copyAsDumped(from: string, to: string, meanwhile?: () => Promise<void>): Promise<void> {
  const [source, target] = [await createConnection(from), await createConnection(to)]
  const begin = async (): Promise<void> => {
    await source.query('set session transaction isolation level repeatable read')
    await source.query('start transaction with consistent snapshot')
  }
  await begin()
  const [tables] = await source.query({ sql: 'show tables', rowsAsArray: true })
  for (const [table] of tables as string[][]) {
    if (table === receipts && meanwhile) {
      await source.query('rollback')
      await meanwhile()
      await begin()
    }
    const [created] = await source.query({ sql: `show create table ${table}`, rowsAsArray: true })
    await target.query((created as string[][])[0]![1]!)
    const [rows] = await source.query({ sql: `select * from ${table}`, rowsAsArray: true })
    const isView = table!.startsWith('waybill_v_')
    if (!isView && (rows as unknown[][]).length > 0)
      await target.query(`insert into ${table} values ?`, [rows])
  }
  await source.end()
  await target.end()
}
