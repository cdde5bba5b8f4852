import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Pool, type PoolClient } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type PrivateServer,
  freshDatabase,
  removeService,
  requireService,
  startPrivateService,
} from '../../../scripts/services/index.ts'
import { silentLog } from '../../core/log.ts'
import { pg } from '../../databases/pg.ts'
import { Waybill, topic } from '../../index.ts'
import { until } from '../../testing/until.ts'

const run = promisify(execFile)
const OrderPaid = topic<{ n: number }>('order.paid')
const found = await requireService('postgres')
type Instance = Waybill<PoolClient, 'async'>

describe.skipIf('skipped' in found)('P12: a dump that is restored into a new cluster', () => {
  let first: Awaited<ReturnType<typeof freshDatabase>>
  let second: PrivateServer
  const pools: Pool[] = []
  const running: Instance[] = []

  beforeEach(async () => {
    first = await freshDatabase('postgres', (found as { url: string }).url)
    second = await startPrivateService('postgres')
  })
  afterEach(async () => {
    for (const instance of running.splice(0)) await instance.stop({ withinMs: 0 })
    for (const pool of pools.splice(0)) await pool.end()
    await first.drop()
    await removeService(second)
  })

  function poolOf(url: string): Pool {
    const pool = new Pool({ connectionString: url, max: 20 })
    pools.push(pool)
    return pool
  }

  function open(pool: Pool): Instance {
    const instance = new Waybill({
      service: 'order',
      database: pg(pool),
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

  test('keeps every message and its order, though xids begin anew and publishers are at work at once', async () => {
    const before = poolOf(first.url)
    // Xids that are far ahead of those of the new cluster, and rows that no window holds yet.
    const publisher = open(before)
    await publisher.schema()
    await publish(publisher, 1, 30)
    await publisher.lag()
    await publish(publisher, 31, 60)
    const dump = await run('pg_dump', ['--no-owner', '--inserts', first.url], { maxBuffer: 2 ** 28 })
    const after = poolOf(second.url)
    // Without what is for psql alone.
    await after.query(dump.stdout.replaceAll(/^\\.*$/gm, ''))

    // Nobody has read here yet, and new messages are committed and open at this moment.
    const open2 = await after.connect()
    await open2.query('begin')
    const restored = open(after)
    await restored.schema()
    await restored.publish(open2, OrderPaid, { key: '61', shardingKey: 'key-1', body: { n: 61 } })
    await publish(restored, 62, 70)
    const handled: number[] = []
    const consumer = open(after)
    consumer.consume(OrderPaid, { group: 'coupon', from: 'oldest', order: 'sharding-key' }, ({ body }) => {
      handled.push(body.n)
    })
    await consumer.start()
    await until('all but the open one are handled', () => handled.length >= 69)
    await open2.query('commit')
    open2.release()
    await publish(restored, 71, 90)
    await until('all are handled', () => handled.length >= 90)
    expect(handled.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 90 }, (_, i) => i + 1))
    for (let key = 0; key < 5; key++) {
      const ofKey = handled.filter((n) => n % 5 === key && n !== 61)
      expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b))
    }
  })
})
