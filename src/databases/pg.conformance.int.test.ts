import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Client, Pool, type PoolClient } from 'pg'
import { afterAll, describe, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import type { DatabaseClaims, HandleSubject, OwnHandle } from '../conformance/database-bench.ts'
import { databaseSuite } from '../conformance/database-suite.ts'
import { postgresSubject } from '../conformance/postgres-subject.ts'
import type { OpenDatabase } from '../core/database.ts'
import { testPorts } from '../testing/ports.ts'
import { pg } from './pg.ts'

const timeoutMs = 30_000
const claims: DatabaseClaims = {
  mode: 'async',
  dialect: 'postgres',
  prepares: false,
  fillsUp: false,
  refusals: [
    { what: 'a server that is not there', code: 'store.io' },
    { what: 'a schema with an odd name', code: 'config.invalid' },
  ],
  unsafeHandles: [{ what: 'a pool, whose queries go over any connection', code: 'publish.handle-unknown' }],
}
const control = [
  'commit',
  'COMMIT;',
  'end transaction',
  'rollback',
  'abort',
  'begin',
  'start transaction',
  "prepare transaction 'x'",
  '-- done\ncommit',
  '/* done; */ commit',
  '; commit',
  'select 1; commit',
]

const found = await requireService('postgres')
// Of its own: migrations in one database wait for one another, by a clock that stands still here.
const place = 'url' in found ? await freshDatabase('postgres', found.url) : undefined
const url = place?.url ?? ''
const pool = new Pool({ connectionString: url, max: 20 })
const schema = newSchema()
const others: (() => Promise<void>)[] = []

afterAll(async () => {
  for (const remove of others) await remove()
  await pool.end()
  await place?.drop()
})

describe.skipIf('skipped' in found)('the database over pg', () => {
  for (const { name, run, skip } of databaseSuite(makeSubject, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})

function newSchema(): string {
  return `d_${randomUUID().replaceAll('-', '').slice(0, 20)}`
}

async function makeSubject(): Promise<HandleSubject<PoolClient>> {
  const ports = testPorts()
  const subject = await postgresSubject<PoolClient>({
    pool,
    schema,
    at: (name) => pg(pool, { schema: name }),
    ports,
    advance: (ms) => ports.clock.advance(ms),
    run: (tx, sql, params) => tx.query(sql, [...params]),
  })
  const openIn = async (on: Pool, migrate: 'auto' | 'check'): Promise<OpenDatabase<PoolClient>> => {
    const database = pg(on).open(ports, { service: 'order', migrate })
    await database.ready()
    return database
  }
  return {
    ...subject,
    own: () => own(),
    foreign: [{ query() {} }],
    run: (tx, sql) => tx.query(sql),
    control,
    empty: async () => {
      const other = await freshDatabase('postgres', url)
      const elsewhere = new Pool({ connectionString: other.url, max: 5 })
      others.push(async () => {
        await elsewhere.end()
        await other.drop()
      })
      return { open: (migrate) => openIn(elsewhere, migrate) }
    },
    openInProcesses,
    pretendNewer: async (version, worksWithSince) => {
      await pool.query(
        `update "${schema}".waybill_meta set value = '${version}' where name = 'schema_version'`,
      )
      await pool.query(
        `update "${schema}".waybill_meta set value = '${worksWithSince}' where name = 'works_with_since'`,
      )
      subject.renew()
    },
    openRefused: (what) => {
      if (what.startsWith('a schema')) return pg(pool, { schema: 'Odd"' }).open(ports, options)
      const nowhere = new Pool({ host: '127.0.0.1', port: 1 })
      return pg(nowhere).open(ports, options).ready()
    },
    unsafe: () => ({
      tx: pool as unknown as PoolClient,
      begin() {},
      commit() {},
      rollback() {},
      close() {},
    }),
  }
}

const options = { service: 'order', migrate: 'auto' } as const

async function own(): Promise<OwnHandle<PoolClient>> {
  const client = new Client({ connectionString: url })
  await client.connect()
  return {
    tx: client as unknown as PoolClient,
    begin: () => client.query('begin'),
    commit: () => client.query('commit'),
    rollback: () => client.query('rollback'),
    close: () => client.end(),
  }
}

/** Each in a process of its own, at nearly the same moment. */
async function openInProcesses(count: number): Promise<readonly { before: number; now: number }[]> {
  const name = newSchema()
  const script = `
    import { Pool } from 'pg'
    import { pg } from ${JSON.stringify(new URL('./pg.ts', import.meta.url).href)}
    import { systemPorts } from ${JSON.stringify(new URL('../system.ts', import.meta.url).href)}
    const pool = new Pool({ connectionString: ${JSON.stringify(url)} })
    const database = pg(pool, { schema: ${JSON.stringify(name)} }).open(systemPorts, { service: 'order', migrate: 'auto' })
    await database.ready()
    console.log(JSON.stringify(database.schema))
    await database.close()
    await pool.end()`
  return Promise.all(
    Array.from({ length: count }, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      child.stdout.on('data', (text: Buffer) => (output += text.toString()))
      await once(child, 'close')
      return JSON.parse(output) as { before: number; now: number }
    }),
  )
}
