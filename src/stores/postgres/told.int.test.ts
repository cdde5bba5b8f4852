import { Pool, type PoolClient } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, freshDatabase, requireService } from '../../../scripts/services/index.ts'
import { pg } from '../../databases/pg.ts'
import { Waybill, topic } from '../../index.ts'
import { until } from '../../testing/until.ts'

const found = await requireService('postgres')
const orderPaid = topic<string>('order.paid', undefined, { queues: 1 })
const asksForMessages = /taken as materialized/
const sequencesForAnOwner = /waybill_sequence\(\d+, \d+, '[\w-]+',/

describe.skipIf('skipped' in found)('a message that arrives at an idle group on PostgreSQL', () => {
  let database: TestDatabase
  let pool: Pool
  let waybill: Waybill<PoolClient, 'async'>
  let statements: string[]
  let handled: string[]

  beforeEach(async () => {
    database = await freshDatabase('postgres', 'url' in found ? found.url : '')
    statements = []
    handled = []
    pool = new Pool({ connectionString: database.url })
    pool.on('error', () => {})
    pool.on('connect', (client) => noteStatements(client, statements))
    waybill = new Waybill({ service: 'order', database: pg(pool), migrate: 'auto' })
    waybill.consume(orderPaid, { group: 'coupon' }, ({ body }) => void handled.push(body))
    await waybill.start()
    await publish('first')
    statements.length = 0
  })

  afterEach(async () => {
    await waybill.stop()
    await pool.end()
    await database[Symbol.asyncDispose]()
  })

  async function publish(body: string): Promise<void> {
    await waybill.publishNow(orderPaid, { body })
    await until('it is handled', () => handled.at(-1) === body)
  }

  test('comes with the window that gave it its place, and so does what else waits', async () => {
    await publish('short')
    expect(statements.filter((text) => sequencesForAnOwner.test(text))).not.toEqual([])
    expect(statements.filter((text) => asksForMessages.test(text))).toEqual([])
  })

  test('comes with it also where others were published with it', async () => {
    const bodies = ['one', 'two', 'three']
    await waybill.transaction(async (tx) => {
      for (const body of bodies) await waybill.publish(tx, orderPaid, { body })
    })
    await until('all are handled', () => bodies.every((body) => handled.includes(body)))
    expect(statements.filter((text) => asksForMessages.test(text))).toEqual([])
  })

  test('is told to other processes only where another instance reads', async () => {
    let published = 0
    const told = (): number => statements.filter((text) => text.includes('pg_notify')).length
    // One that is published while the readers are at work is told of without asking.
    await until('one is told of to nobody', async () => {
      statements.length = 0
      await publish(`${++published}`)
      return told() === 0
    })
    statements.length = 0
    const elsewhere = new Pool({ connectionString: database.url })
    elsewhere.on('error', () => {})
    const other = new Waybill({ service: 'order', database: pg(elsewhere), migrate: 'check' })
    const there: string[] = []
    other.consume(orderPaid, { group: 'warehouse', from: 'now' }, ({ body }) => {
      there.push(body)
    })
    await other.start()
    await publish('both')
    await until('it is handled there', () => there.includes('both'))
    await until('the others are told', () => told() > 0)
    expect(handled).toEqual(expect.arrayContaining(there))
    await other.stop()
    await elsewhere.end()
  })

  test('is read for itself where it is long', async () => {
    await publish('long'.repeat(1_000))
    expect(statements.filter((text) => asksForMessages.test(text))).not.toEqual([])
  })

  test('P9: a connection that was given back in the middle of a transaction draws no line between windows', async () => {
    const leaking = new Pool({ connectionString: database.url, max: 1 })
    leaking.on('error', () => {})
    const other = new Waybill({ service: 'order', database: pg(leaking), migrate: 'check' })
    await other.schema()
    const client = await leaking.connect()
    await client.query('begin')
    await client.query('select pg_current_xact_id()')
    client.release()
    await expect(other.lag()).rejects.toThrow('in the middle of one')
    // It is thrown away with that, and the next one is fit.
    expect(await other.lag()).not.toEqual([])
    await other.stop()
    await leaking.end()
  })
})

function noteStatements(client: PoolClient, statements: string[]): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown
  Object.assign(client, {
    query: (...args: unknown[]) => {
      const [asked] = args as [string | { text: string }]
      statements.push(typeof asked === 'string' ? asked : asked.text)
      return query(...args)
    },
  })
}
