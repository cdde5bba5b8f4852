import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { Pool, type PoolClient } from 'pg'
import type { OpenDatabase } from '../../src/core/database.ts'
import { pg } from '../../src/databases/pg.ts'
import { Waybill, topic } from '../../src/index.ts'
import { systemPorts } from '../../src/system.ts'
import { declare, proven, readAll, settled } from './reader.ts'
import type { Draft, Subject } from './subjects.ts'
import { type Tally, read } from './tally.ts'

const Proven = topic<{ n: number }>(proven.name, undefined, { queues: proven.queues })
const connections = 40
const holdMsMax = 30
const naiveLimit = 100

export async function openPostgresSubject(url: string): Promise<Subject> {
  const pool = new Pool({ connectionString: url, max: connections })
  const schema = `proof_${randomUUID().replaceAll('-', '').slice(0, 16)}`
  const waybill = new Waybill({ service: 'proof', database: pg(pool, { schema }), migrate: 'auto' })
  await waybill.schema()
  const database = pg(pool, { schema }).open(systemPorts, { service: 'proof', migrate: 'check' })
  await database.ready()
  await declare(database as unknown as OpenDatabase<never>)
  return {
    holds: true,
    publish: (drafts, random, meanwhile) => publish(pool, waybill, drafts, random, meanwhile),
    read: (tally, signal) => readAll(database as unknown as OpenDatabase<never>, tally, signal),
    readNaively: (tally, signal) => readNaively(pool, schema, tally, signal),
    settled,
    dispose: async () => {
      await waybill.stop()
      await database.close()
      await pool.query(`drop schema "${schema}" cascade`)
      await pool.end()
    },
  }
}

async function publish(
  pool: Pool,
  waybill: Waybill<PoolClient, 'async'>,
  drafts: readonly Draft[],
  random: () => number,
  meanwhile?: () => Promise<void>,
): Promise<readonly string[] | undefined> {
  const client = await pool.connect()
  const chance = meanwhile ? 1 : random()
  const messages = drafts.map(({ key, n }) => ({ key: `${key}-${n}`, shardingKey: key, body: { n } }))
  const prepared = `proof-${randomUUID()}`
  try {
    await client.query(random() < 0.1 ? 'begin isolation level serializable' : 'begin')
    if (random() < 0.1) await client.query('set local synchronous_commit = off')
    // An xid that is drawn long before the position.
    if (random() < 0.2) await client.query('select pg_current_xact_id()')
    if (chance < 0.15) {
      await client.query('savepoint a')
      await waybill.publish(client, Proven, messages)
      await client.query('rollback to savepoint a')
    }
    if (random() < 0.2) await wait(random() * holdMsMax)
    const ids = await waybill.publish(client, Proven, messages)
    if (random() < 0.3) await wait(random() * holdMsMax)
    await meanwhile?.()
    if (chance < 0.08) {
      await client.query('rollback')
      return undefined
    }
    if (chance > 0.9 && !meanwhile) {
      await client.query(`prepare transaction '${prepared}'`)
      await wait(random() * holdMsMax)
      await client.query(`commit prepared '${prepared}'`)
    } else await client.query('commit')
    return ids
  } catch (error) {
    await client.query('rollback').catch(() => {})
    // Serialisation failures are the publisher's to repeat.
    if ((error as { code?: unknown }).code === '40001' || (error as { code?: unknown }).code === 'store.busy')
      return undefined
    throw error
  } finally {
    client.release()
  }
}

async function readNaively(pool: Pool, schema: string, tally: Tally, signal: AbortSignal): Promise<void> {
  let last = 0
  while (!signal.aborted) {
    const { rows } = await pool.query<{ pos: string; id: string; sharding_key: string; body: string }>(
      `select pos, id, sharding_key, body from "${schema}".waybill_messages where pos > $1 order by pos limit ${naiveLimit}`,
      [last],
    )
    tally.looked()
    for (const { pos, id, sharding_key: key, body } of rows) {
      last = Number(pos)
      read(tally, id, key, (JSON.parse(body) as { n: number }).n)
    }
    if (rows.length === 0) await wait(2)
  }
}
