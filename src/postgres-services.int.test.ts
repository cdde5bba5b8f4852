import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Pool, type PoolClient } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../scripts/services/index.ts'
import { silentLog } from './core/log.ts'
import { pg } from './databases/pg.ts'
import { type Ledger, type Trace, Waybill, fixedRetries, topic } from './index.ts'
import { until } from './testing/until.ts'
import { databaseTransport } from './transports/database/index.ts'

type Instance = Waybill<PoolClient, 'async'>

const OrderPaid = topic<{ n: number }>('order.paid')
const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const names = ['order', 'broker', 'coupon'] as const
const found = await requireService('postgres')

describe.skipIf('skipped' in found)('services on PostgreSQL, with PostgreSQL between them', () => {
  const databases = new Map<string, Awaited<ReturnType<typeof freshDatabase>>>()
  const pools = new Map<string, Pool>()
  const running = new Set<Instance>()

  beforeEach(async () => {
    for (const name of names) {
      const database = await freshDatabase('postgres', (found as { url: string }).url)
      databases.set(name, database)
      pools.set(name, new Pool({ connectionString: database.url, max: 20 }))
    }
    await pools
      .get('coupon')!
      .query('create table effects (turn bigint generated always as identity, n integer)')
    await pools.get('order')!.query('create table orders (n integer)')
  })
  afterEach(async () => {
    for (const instance of running) await instance.stop({ withinMs: 0 })
    running.clear()
    for (const pool of pools.values()) await pool.end()
    for (const database of databases.values()) await database.drop()
  })

  function open(service: 'order' | 'coupon'): Instance {
    const instance = new Waybill({
      service,
      database: pg(pools.get(service)!),
      transport: databaseTransport({ database: pg(pools.get('broker')!) }),
      migrate: 'auto',
      leaseMs: 2_000,
      log: silentLog,
    })
    running.add(instance)
    return instance
  }

  async function consumer(): Promise<Instance> {
    const instance = open('coupon')
    instance.consume(
      OrderPaid,
      { group: 'coupon', from: 'oldest', order: 'sharding-key', retry: fixedRetries('10ms', '10ms') },
      async ({ body: { n } }, { tx, attempt }) => {
        await tx.query('insert into effects (n) values ($1)', [n])
        if (n % 7 === 0 && attempt === 1) throw new Error('once')
      },
    )
    await instance.start()
    return instance
  }

  async function effects(): Promise<readonly number[]> {
    const { rows } = await pools.get('coupon')!.query<{ n: number }>('select n from effects order by turn')
    return rows.map(({ n }) => n)
  }

  function run(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const urls = names.flatMap((name) => ['--database', `${name}=${databases.get(name)!.url}`])
    return spawnSync(process.execPath, [main, ...args, ...urls], { encoding: 'utf8' })
  }

  test('every order takes effect once, in the order of its key, through retries and a hand-over; one that is rolled back has none', async () => {
    const order = open('order')
    await order.start()
    const first = await consumer()
    const publish = async (n: number): Promise<void> => {
      const client = await pools.get('order')!.connect()
      try {
        await client.query('begin')
        await client.query('insert into orders values ($1)', [n])
        await order.publish(client, OrderPaid, {
          key: `order-${n}`,
          shardingKey: `user-${n % 5}`,
          body: { n },
        })
        await client.query(n % 10 === 0 ? 'rollback' : 'commit')
      } finally {
        client.release()
      }
    }
    for (let n = 1; n <= 50; n++) await publish(n)
    const second = await consumer()
    running.delete(first)
    await first.stop()
    for (let n = 51; n <= 100; n++) await publish(n)
    await until('all are handled', async () => (await effects()).length >= 90)
    await until('the books are closed', async () =>
      (await second.lag()).every(({ waiting }) => waiting === 0),
    )
    const wanted = Array.from({ length: 100 }, (_, i) => i + 1).filter((n) => n % 10 !== 0)
    const order2 = await effects()
    expect(order2.toSorted((a, b) => a - b)).toEqual(wanted)
    for (let user = 0; user < 5; user++)
      expect(order2.filter((n) => n % 5 === user)).toEqual(wanted.filter((n) => n % 5 === user))

    const traced = JSON.parse(run('trace', 'order-7', '--json').stdout) as Trace
    expect(traced.verdicts.map(({ code }) => code)).toEqual(['done'])
    expect(traced.journeys[0]!.hops.every(({ sight }) => sight === 'seen')).toBe(true)
    const nothing = JSON.parse(run('trace', 'order-10', '--json').stdout) as Trace
    expect(nothing.verdicts.map(({ code }) => code)).toEqual(['never-published'])
    const ledger = run('ledger', '--json')
    expect({ status: ledger.status, stderr: ledger.stderr }).toEqual({ status: 0, stderr: '' })
    expect((JSON.parse(ledger.stdout) as Ledger).balanced).toBe(true)
  })

  test('the command line migrates a server, says so without its password, and refuses one without tables', () => {
    const refused = run('lag')
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('store.schema-missing') })
    const migrated = run('migrate', '--json')
    expect(JSON.parse(migrated.stdout)).toMatchObject(names.map((name) => ({ name, before: 0, now: 1 })))
    const password = new URL(databases.get('order')!.url).password
    expect(password).not.toBe('')
    expect(migrated.stdout).not.toContain(password)
    expect(run('lag').stdout).toContain('no readers')
  })
})
