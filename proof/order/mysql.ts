import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { type Pool, type PoolConnection, createPool } from 'mysql2/promise'
import type { OpenDatabase } from '../../src/core/database.ts'
import { mysql2 } from '../../src/databases/mysql2.ts'
import { Waybill, topic } from '../../src/index.ts'
import { systemPorts } from '../../src/system.ts'
import { declare, proven, readAll, settled } from './reader.ts'
import type { Draft, Subject } from './subjects.ts'
import { type Tally, read } from './tally.ts'

const Proven = topic<{ n: number }>(proven.name, undefined, { queues: proven.queues })
const connections = 40
const holdMsMax = 30
const naiveLimit = 100

export async function openMysqlSubject(url: string): Promise<Subject> {
  const pool = createPool({ uri: url, connectionLimit: connections })
  const schema = `proof_${randomUUID().replaceAll('-', '').slice(0, 16)}`
  await pool.query(`create database \`${schema}\``)
  const waybill = new Waybill({ service: 'proof', database: mysql2(pool, { schema }), migrate: 'auto' })
  await waybill.schema()
  await pool.query(
    `create table \`${schema}\`.business (n bigint auto_increment primary key, hot integer not null)`,
  )
  await pool.query(`insert into \`${schema}\`.business (hot) values (0), (0), (0)`)
  const database = mysql2(pool, { schema }).open(systemPorts, { service: 'proof', migrate: 'check' })
  await database.ready()
  await declare(database as unknown as OpenDatabase<never>)
  return {
    holds: true,
    publish: (drafts, random, meanwhile) => publish({ pool, schema, waybill }, drafts, random, meanwhile),
    read: (tally, signal) => readAll(database as unknown as OpenDatabase<never>, tally, signal),
    readNaively: (tally, signal) => readNaively(pool, schema, tally, signal),
    settled,
    dispose: async () => {
      await waybill.stop()
      await database.close()
      await pool.query(`drop database \`${schema}\``)
      await pool.end()
    },
  }
}

interface Publisher {
  readonly pool: Pool
  readonly schema: string
  readonly waybill: Waybill<PoolConnection, 'async'>
}

/** By the server's number, and by the code where Waybill met them. */
const repeatable = new Set<unknown>([
  1205,
  1213,
  // With innodb_snapshot_isolation, on by default since MariaDB 11.6.
  1020,
  'store.busy',
  'publish.no-transaction',
  'publish.handle-unknown',
])

async function publish(
  { pool, schema, waybill }: Publisher,
  drafts: readonly Draft[],
  random: () => number,
  meanwhile?: () => Promise<void>,
): Promise<readonly string[] | undefined> {
  const connection = await pool.getConnection()
  const chance = meanwhile ? 1 : random()
  const messages = drafts.map(({ key, n }) => ({ key: `${key}-${n}`, shardingKey: key, body: { n } }))
  try {
    const isolation = random()
    if (isolation < 0.1) await connection.query('set transaction isolation level serializable')
    else if (isolation < 0.4) await connection.query('set transaction isolation level read committed')
    await connection.beginTransaction()
    // A read view that is older than everything that follows, and locks that others wait for.
    if (random() < 0.2) await connection.query(`select count(*) from \`${schema}\`.business`)
    if (!meanwhile && random() < 0.2)
      await connection.query(
        `update \`${schema}\`.business set hot = hot + 1 where n = 1 + floor(rand() * 3)`,
      )
    if (chance < 0.15) {
      await connection.query('savepoint a')
      await waybill.publish(connection, Proven, messages)
      await connection.query('rollback to savepoint a')
    }
    if (random() < 0.2) await wait(random() * holdMsMax)
    const ids = await waybill.publish(connection, Proven, messages)
    if (random() < 0.3) await wait(random() * holdMsMax)
    await meanwhile?.()
    if (chance < 0.08) {
      await connection.rollback()
      return undefined
    }
    await connection.commit()
    return ids
  } catch (error) {
    await connection.rollback().catch(() => {})
    // Deadlocks are the publisher's to repeat.
    const { errno, code } = error as { errno?: unknown; code?: unknown }
    if (repeatable.has(errno) || repeatable.has(code)) return undefined
    throw error
  } finally {
    connection.release()
  }
}

async function readNaively(pool: Pool, schema: string, tally: Tally, signal: AbortSignal): Promise<void> {
  let last = 0
  while (!signal.aborted) {
    const [rows] = await pool.query(
      `select pos, id, sharding_key, body from \`${schema}\`.waybill_messages where pos > ? order by pos limit ${naiveLimit}`,
      [last],
    )
    tally.looked()
    for (const { pos, id, sharding_key: key, body } of rows as Record<string, any>[]) {
      last = pos
      read(tally, id, key, (JSON.parse(body) as { n: number }).n)
    }
    if ((rows as unknown[]).length === 0) await wait(2)
  }
}
