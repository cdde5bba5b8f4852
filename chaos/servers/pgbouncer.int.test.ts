import { randomUUID } from 'node:crypto'
import { Pool, type PoolClient } from 'pg'
import postgres, { type TransactionSql } from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Waybill, topic, trace } from 'waybill'
import { databaseTransport } from 'waybill/database'
import { pg } from 'waybill/pg'
import { postgresJs } from 'waybill/postgres-js'
import {
  freshDatabase,
  removeService,
  requireInstalled,
  requireService,
  startPrivateService,
} from '../../scripts/services/index.ts'
import { postgresSubject } from '../../src/conformance/postgres-subject.ts'
import { storeSuite } from '../../src/conformance/store-suite.ts'
import { silentLog } from '../../src/core/log.ts'
import { testPorts, until } from '../../src/testing/index.ts'
import { handleOf } from './harness/handles.ts'
import { Shop, expectAllOnce, numbers } from './harness/shop.ts'

const timeoutMs = 30_000
const claims = {
  can: { clock: 'database', wakeUps: 'notify', sharedByProcesses: true },
  timeTravel: true,
} as const
const server = await requireService('postgres')
const found = await requireInstalled('pgbouncer')
const isMissing = 'skipped' in found || 'skipped' in server
const upstream = 'url' in server ? server.url : ''
const bouncer = isMissing ? undefined : await startPrivateService('pgbouncer', { settings: { upstream } })

afterAll(async () => {
  if (bouncer) await removeService(bouncer)
})

/** A database's URL by way of the pooler. */
function through(url: string): string {
  const by = new URL(url)
  by.port = String(bouncer!.port)
  return by.href
}

/** WAYBILL_POOLER_ALL=1 runs all promises, through both libraries: four minutes. Nobody is told anything through a pooler, so all poll. */
const all = process.env['WAYBILL_POOLER_ALL'] === '1'
const chosen = all ? /^(?!watch hears)/ : /publish|claim|lease/i

interface Subjects {
  make(): ReturnType<typeof postgresSubject<never>>
  close(): Promise<void>
}

const subjectsOf = { pg: overPg, 'postgres.js': overPostgresJs }
const libraries = ['pg', 'postgres.js'] as const

function overPg(schema: string): Subjects {
  const pool = new Pool({ connectionString: through(upstream), max: 20 })
  return {
    make: () => {
      const ports = testPorts()
      return postgresSubject({
        pool,
        schema,
        at: (name) => pg(pool, { schema: name }) as never,
        ports,
        advance: (ms) => ports.clock.advance(ms),
        run: (tx: PoolClient, text, params) => tx.query(text, [...params]),
      })
    },
    close: async () => {
      await pool.query(`drop schema if exists "${schema}" cascade`)
      await pool.end()
    },
  }
}

function overPostgresJs(schema: string): Subjects {
  const sql = postgres(through(upstream), { max: 20, prepare: false, onnotice() {} })
  return {
    make: () => {
      const ports = testPorts()
      return postgresSubject({
        pool: { query: async (text) => ({ rows: await sql.unsafe(text) }) },
        schema,
        at: (name) => postgresJs(sql, { schema: name }) as never,
        ports,
        advance: (ms) => ports.clock.advance(ms),
        run: (tx: TransactionSql, text, params) => tx.unsafe(text, [...params]),
      })
    },
    close: async () => {
      await sql.unsafe(`drop schema if exists "${schema}" cascade`)
      await sql.end({ timeout: 5 })
    },
  }
}

for (const library of all ? libraries : libraries.slice(0, 1))
  describe.skipIf(isMissing)(`the store over ${library} behind PgBouncer in transaction mode`, () => {
    let subjects: Subjects
    beforeAll(() => {
      subjects = subjectsOf[library](`b_${randomUUID().replaceAll('-', '').slice(0, 20)}`)
    })
    afterAll(() => subjects.close())
    for (const { name, run, skip } of storeSuite(() => subjects.make(), claims)) {
      if (!chosen.test(name)) continue
      const declare = skip === undefined ? test : test.skip
      declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
    }
  })

test.skipIf(isMissing)(
  'P7: a postgres.js that prepares its COMMITs is refused behind a pooler, where they are lost without an error',
  async () => {
    await using database = await freshDatabase('postgres', upstream)
    const sql = postgres(through(database.url), { max: 2, onnotice() {} })
    const waybill = new Waybill({ service: 'order', database: postgresJs(sql), migrate: 'auto' })
    try {
      const refused = { code: 'config.invalid', message: expect.stringContaining('prepare: false') as string }
      await expect(waybill.transaction(async () => {})).rejects.toMatchObject(refused)
      await expect(waybill.publishNow(topic('order.paid'), { body: { n: 1 } })).rejects.toMatchObject(refused)
      await sql.begin(async (tx) => {
        await expect(waybill.publish(tx, topic('order.paid'), { body: { n: 1 } })).rejects.toMatchObject(
          refused,
        )
      })
    } finally {
      await waybill.stop()
      await sql.end({ timeout: 5 })
    }
  },
)

for (const library of libraries)
  describe.skipIf(isMissing)(`services over ${library} behind PgBouncer in transaction mode`, () => {
    test('more handles than the server has connections for lose nothing and double nothing', async (context) => {
      await using database = await freshDatabase('postgres', upstream)
      await using shop = await Shop.open(context, 'postgres', database.url)
      const connect = () => shop.connect({ library }, through(database.url))
      await shop.consumer(connect())
      await shop.consumer(connect())
      const handle = connect()
      const publisher = shop.instance(handle)
      await Promise.all(numbers(1, 60).map((n) => shop.placeSurely(publisher, handle, n)))
      await expectAllOnce(shop, numbers(1, 60))
      expect(shop.uncoded).toEqual([])
    })

    test('messages are relayed, landed, handled and traced', async () => {
      await using order = await freshDatabase('postgres', upstream)
      await using broker = await freshDatabase('postgres', upstream)
      await using coupon = await freshDatabase('postgres', upstream)
      const handles = [order, broker, coupon].map(({ url }) =>
        handleOf('postgres', through(url), { library }),
      )
      const [orders, between, coupons] = handles
      const open = (service: string, handle: (typeof handles)[number]) =>
        new Waybill({
          service,
          database: handle.database,
          transport: databaseTransport({ database: between!.database }),
          migrate: 'auto',
          leaseMs: 2_000,
          log: silentLog,
        })
      const publisher = open('order', orders!)
      const consumer = open('coupon', coupons!)
      const Paid = topic<{ n: number }>('order.paid')
      // Not how often: a handler whose transaction rolled back is run again.
      const handled = new Set<number>()
      consumer.consume(Paid, { group: 'coupon', from: 'oldest' }, ({ body }) => void handled.add(body.n))
      await publisher.start()
      await consumer.start()
      for (const n of numbers(1, 20)) await publisher.publishNow(Paid, { key: `order-${n}`, body: { n } })
      await until('all are handled', () => handled.size === 20)
      expect([...handled].toSorted((a, b) => a - b)).toEqual(numbers(1, 20))
      const sources = [
        ['order', publisher],
        ['coupon', consumer],
      ] as const
      const isDone = async (): Promise<boolean> =>
        (await trace(sources, 'order-7')).verdicts.some(({ code }) => code === 'done')
      await until('the trace says so', isDone)
      await publisher.stop()
      await consumer.stop()
      for (const handle of handles) await handle.end()
    })
  })
