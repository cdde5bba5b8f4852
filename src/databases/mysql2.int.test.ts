import { randomUUID } from 'node:crypto'
import { type Pool, type PoolConnection, type PoolOptions, createPool } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requireService } from '../../scripts/services/index.ts'
import type { OpenDatabase } from '../core/database.ts'
import type { OwnerId } from '../core/ids.ts'
import type { PublishedEnvelope } from '../core/message.ts'
import { systemPorts } from '../system.ts'
import { mysql2 } from './mysql2.ts'

const found = await requireService('mariadb')
const uri = 'url' in found ? found.url : 'mysql://127.0.0.1:1/none'
const schema = `m_${randomUUID().replaceAll('-', '').slice(0, 20)}`
const topics = [{ name: 'order.paid', queues: 1 }]
const pools: Pool[] = []
const plain = poolOf({})

beforeAll(async () => {
  if ('skipped' in found) return
  await plain.query(`create database \`${schema}\``)
  await plain.query(`create table \`${schema}\`.business (n integer primary key, text longtext)`)
  await plain.query(`insert into \`${schema}\`.business values (1, ''), (2, '')`)
})
afterAll(async () => {
  if ('url' in found) await plain.query(`drop database if exists \`${schema}\``)
  for (const pool of pools) await pool.end()
})

function poolOf(options: PoolOptions, mode?: string): Pool {
  const pool = createPool({ uri, connectionLimit: 5, ...options })
  if (mode !== undefined) pool.on('connection', (one) => void one.query(`set session sql_mode = '${mode}'`))
  pools.push(pool)
  return pool
}

async function opened(pool: Pool): Promise<OpenDatabase<PoolConnection>> {
  const database = mysql2(pool, { schema }).open(systemPorts, { service: 'order', migrate: 'auto' })
  await database.ready()
  return database
}

function message(given: Partial<PublishedEnvelope> = {}): PublishedEnvelope {
  const now = systemPorts.clock.now()
  const body = given.body ?? '{}'
  return {
    id: systemPorts.ids.message(),
    service: 'order',
    topic: 'order.paid',
    tag: null,
    key: null,
    shardingKey: null,
    headers: {},
    body,
    bodyHash: systemPorts.digest(body),
    publishedAt: now,
    eligibleAt: now,
    dedupKey: null,
    ...given,
  }
}

describe.skipIf('skipped' in found)('mysql2 under settings of the user’s', () => {
  const settings: readonly (readonly [string, PoolOptions, string?])[] = [
    ['no strict mode', {}, ''],
    ['ANSI_QUOTES and NO_BACKSLASH_ESCAPES', {}, 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'],
    ['ANSI with odd precedence', {}, 'ANSI,HIGH_NOT_PRECEDENCE,PAD_CHAR_TO_FULL_LENGTH'],
    ['big numbers as texts', { supportBigNumbers: true, bigNumberStrings: true, decimalNumbers: false }],
    ['rows as lists, nested tables and named placeholders', { rowsAsArray: true, namedPlaceholders: true }],
    ['casts of the user’s own', { typeCast: (field) => field.string() }],
    ['rows that changed counted instead of those found', { flags: ['-FOUND_ROWS'] }],
    ['several statements in one text', { multipleStatements: true, dateStrings: true, jsonStrings: true }],
  ]
  for (const [name, options, mode] of settings)
    test(`messages come back as they were given, and fences hold: ${name}`, async () => {
      const database = await opened(poolOf(options, mode))
      const text = `'"\\' \\" \\\\ %_ ?:a -- # /* 🧧 \u0001 `
      const sent = [message({ key: text, tag: text, body: JSON.stringify(text) }), message({ body: text })]
      const bytes = message({ body: Uint8Array.of(0, 39, 92, 255), headers: { text } })
      const { store } = database
      const group = `g${randomUUID()}`
      const declared = { name: group, topics, tags: {}, from: 'now' as const, subscriptionVersion: 1 }
      await store.declareGroup({ ...declared, ordered: true, onFailure: 'hold' })
      await database.transaction({ work: (tx) => store.append(tx, sent, topics) })
      await database.transaction({ work: (tx) => store.append(tx, [bytes], topics) })
      const reader = { reader: group, version: 1, queues: [{ topic: 'order.paid', queue: 0 }], runningMax: 1 }
      const [share] = await store.share(`o${randomUUID()}` as OwnerId, [reader], 60_000)
      const lease = share!.leases[0]!
      const read = await store.read(lease, lease.position, 10)
      expect(read.map((one) => [one.id, one.key, one.tag, one.body, one.headers, one.publishedAt])).toEqual(
        [...sent, bytes].map((one) => [one.id, one.key, one.tag, one.body, one.headers, one.publishedAt]),
      )
      await store.advance(lease, read[0]!.position)
      await store.advance(lease, read[0]!.position)
      await expect(
        (async () => store.advance({ ...lease, fence: lease.fence - 1 }, 1))(),
      ).rejects.toMatchObject({ code: 'store.lease-lost' })
      await store.release(share!.leases)
    })

  test('dedup keys differ by case, accent and a space at the end', async () => {
    const { store, transaction } = await opened(plain)
    const keys = ['pay', 'PAY', 'páy', 'pay ', ' pay', 'pay\t'].map((key) => `${key}`)
    const drafts = keys.map((dedupKey) => message({ dedupKey }))
    const appended = await transaction({ work: (tx) => store.append(tx, drafts, topics) })
    expect(appended.map(({ duplicate }) => duplicate)).toEqual(keys.map(() => false))
  })

  test('a body that no packet of the server holds is refused before it is sent, and the connection goes on', async () => {
    const { store, transaction } = await opened(plain)
    await transaction({
      work: async (tx) => {
        const huge = message({ body: new Uint8Array(80 * 1024 * 1024) })
        await expect((async () => store.append(tx, [huge], topics))()).rejects.toMatchObject({
          code: 'store.unsafe-settings',
        })
        await store.append(tx, [message()], topics)
      },
    })
  })

  test('bodies that fill a packet together are stored all the same', async () => {
    const { store, transaction } = await opened(plain)
    const drafts = Array.from({ length: 10 }, () => message({ body: 'x'.repeat(4 * 1024 * 1024) }))
    const appended = await transaction({ work: (tx) => store.append(tx, drafts, topics) })
    expect(appended.length).toBe(10)
  })
})

describe.skipIf('skipped' in found)('mysql2 and what the server ends by itself', () => {
  const touch = (tx: PoolConnection, n: number): Promise<unknown> =>
    tx.execute(`update \`${schema}\`.business set text = concat(text, 'x') where n = ?`, [n])

  test('a deadlock that the work swallows fails the transaction, and commits nothing that came after it', async () => {
    const database = await opened(plain)
    const [before] = await plain.query(`select text from \`${schema}\`.business order by n`)
    let survivors = 0
    const bothHold = Promise.withResolvers<void>()
    let holding = 0
    const run = (first: number, second: number): Promise<void> =>
      database.transaction({
        work: async (tx) => {
          await touch(tx, first)
          if (++holding === 2) bothHold.resolve()
          await bothHold.promise
          let died = false
          await touch(tx, second).catch(() => (died = true))
          if (!died) survivors++
          // It would be committed by itself, since no transaction is open any more.
          await touch(tx, first).catch(() => {})
          await Promise.resolve(database.store.append(tx, [message()], topics)).catch(() => {})
          if (!died) throw new Error('both of them are undone, so that the rows tell')
        },
      })
    const ended = await Promise.allSettled([run(1, 2), run(2, 1)])
    const reasons = ended.map((one) => (one.status === 'rejected' ? String(one.reason) : 'committed'))
    expect(survivors).toBe(1)
    expect(reasons.filter((reason) => reason.includes('store.busy')).length).toBe(1)
    const [after] = await plain.query(`select text from \`${schema}\`.business order by n`)
    expect(after).toEqual(before)
  })

  test('P32: DDL ends the user’s own transaction, and a publish after it is refused', async () => {
    const database = await opened(plain)
    const connection = await plain.getConnection()
    try {
      await connection.beginTransaction()
      database.assertInTransaction(connection)
      await connection.query(`create table \`${schema}\`.made (n integer)`)
      await expect((async () => database.assertInTransaction(connection))()).rejects.toMatchObject({
        code: 'publish.no-transaction',
      })
      await expect(
        (async () => Promise.resolve(database.store.append(connection, [message()], topics)))(),
      ).rejects.toMatchObject({ code: 'publish.no-transaction' })
    } finally {
      await connection.rollback()
      connection.release()
    }
  })

  test('on connections without autocommit Waybill’s own statements are committed one by one all the same', async () => {
    const pool = poolOf({ connectionLimit: 1 })
    pool.on('connection', (one) => void one.query('set autocommit = 0'))
    const database = await opened(pool)
    const { id } = message()
    await database.store.dependencies.withdraw('nobody')
    await database.store.halves.doubt(id, 'nothing')
    const connection = await pool.getConnection()
    const [open] = await plain.query(
      'select count(*) as n from information_schema.innodb_trx where trx_mysql_thread_id = ?',
      [connection.threadId],
    )
    connection.release()
    expect(open).toEqual([{ n: 0 }])
  })

  test('a transaction that was left open on a connection of the pool is not committed with Waybill’s', async () => {
    const pool = poolOf({ connectionLimit: 1 })
    const database = await opened(pool)
    const [before] = await plain.query(`select text from \`${schema}\`.business order by n`)
    const connection = await pool.getConnection()
    await connection.beginTransaction()
    await touch(connection, 1)
    connection.release()
    await database.transaction({ work: (tx) => database.store.append(tx, [message()], topics) })
    const [after] = await plain.query(`select text from \`${schema}\`.business order by n`)
    expect(after).toEqual(before)
  })

  test('P32: without autocommit a transaction begins with the first statement, and is then taken', async () => {
    const database = await opened(plain)
    const connection = await plain.getConnection()
    try {
      await connection.query('set autocommit = 0')
      await expect((async () => database.assertInTransaction(connection))()).rejects.toMatchObject({
        code: 'publish.no-transaction',
      })
      await touch(connection, 1)
      database.assertInTransaction(connection)
      await connection.rollback()
    } finally {
      connection.destroy()
    }
  })
})
