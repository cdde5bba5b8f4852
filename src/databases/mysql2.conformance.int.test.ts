import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type Pool, type PoolConnection, createPool } from 'mysql2/promise'
import { afterAll, describe, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import type { DatabaseClaims, HandleSubject, OwnHandle } from '../conformance/database-bench.ts'
import { databaseSuite } from '../conformance/database-suite.ts'
import { mysqlSubject } from '../conformance/mysql-subject.ts'
import type { OpenDatabase } from '../core/database.ts'
import { testPorts } from '../testing/ports.ts'
import { mysql2 } from './mysql2.ts'

const timeoutMs = 30_000
const claims: DatabaseClaims = {
  mode: 'async',
  dialect: 'mysql',
  prepares: false,
  fillsUp: false,
  refusals: [
    { what: 'a server that is not there', code: 'store.io' },
    { what: 'a schema with an odd name', code: 'config.invalid' },
    { what: 'a pool whose connections are in no database', code: 'config.invalid' },
    { what: 'a pool that speaks latin1', code: 'store.unsafe-settings' },
  ],
  unsafeHandles: [
    { what: 'a pool, whose queries go over any connection', code: 'publish.handle-unknown' },
    { what: 'a connection of another pool, of which nothing was heard', code: 'publish.handle-unknown' },
  ],
}
const control = [
  'commit',
  'COMMIT;',
  'rollback',
  'begin',
  'start transaction',
  "xa end 'x'",
  '-- done\ncommit',
  '# done\ncommit',
  '/* done; */ commit',
  '/*! commit */',
  '/*M!100000 commit */',
  '; commit',
  'select 1; commit',
  'set autocommit = 1',
  'set @@session.autocommit = 1',
  'create table x (n integer)',
  'truncate effects',
  "prepare s from 'commit'",
  "execute immediate 'commit'",
  'lock tables x write',
]

const found = await requireService('mariadb')
const url = 'url' in found ? found.url : 'mysql://127.0.0.1:1/none'
const pool = createPool({ uri: url, connectionLimit: 20 })
const schema = newSchema()
const schemas = [schema]
const others: (() => Promise<unknown>)[] = [() => pool.end()]

afterAll(async () => {
  if ('url' in found) for (const name of schemas) await pool.query(`drop database if exists \`${name}\``)
  for (const remove of others.toReversed()) await remove()
})

describe.skipIf('skipped' in found)('the database over mysql2', () => {
  for (const { name, run, skip } of databaseSuite(makeSubject, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})

function newSchema(): string {
  return `d_${randomUUID().replaceAll('-', '').slice(0, 20)}`
}

async function makeSubject(): Promise<HandleSubject<PoolConnection>> {
  const ports = testPorts()
  const subject = await mysqlSubject<PoolConnection>({
    pool,
    schema,
    at: (name) => mysql2(pool, { schema: name }),
    ports,
    advance: (ms) => ports.clock.advance(ms),
    run: (tx, sql, params) => tx.execute(sql, [...params]),
  })
  const openIn = async (on: Pool, migrate: 'auto' | 'check'): Promise<OpenDatabase<PoolConnection>> => {
    const database = mysql2(on).open(ports, { service: 'order', migrate })
    await database.ready()
    return database
  }
  return {
    ...subject,
    own: () => own(pool),
    foreign: [{ query() {} }],
    run: (tx, sql) => tx.query(sql),
    control,
    empty: async () => {
      const other = await freshDatabase('mariadb', url)
      const elsewhere = createPool({ uri: other.url, connectionLimit: 5 })
      others.push(other.drop, () => elsewhere.end())
      return { open: (migrate) => openIn(elsewhere, migrate) }
    },
    openInProcesses,
    pretendNewer: async (version, worksWithSince) => {
      const set = `update \`${schema}\`.waybill_meta set value = ? where name = ?`
      await pool.execute(set, [String(version), 'schema_version'])
      await pool.execute(set, [String(worksWithSince), 'works_with_since'])
      subject.renew()
    },
    openRefused,
    unsafe: (what) =>
      what.startsWith('a pool')
        ? { tx: pool as unknown as PoolConnection, begin() {}, commit() {}, rollback() {}, close() {} }
        : own(another({ uri: url })),
  }
}

function another(options: Parameters<typeof createPool>[0] & object): Pool {
  const made = createPool(options)
  others.push(() => made.end())
  return made
}

const options = { service: 'order', migrate: 'auto' } as const

function openRefused(what: string): unknown {
  if (what.startsWith('a schema')) return mysql2(pool, { schema: 'Odd`' }).open(testPorts(), options)
  if (what.endsWith('in no database'))
    return mysql2(another({ uri: url.replace(/\/[^/]*$/, '') })).open(testPorts(), options)
  const place = what.endsWith('latin1')
    ? another({ uri: url, charset: 'latin1' })
    : another({ host: '127.0.0.1', port: 1, database: 'none' })
  return mysql2(place).open(testPorts(), options).ready()
}

async function own(of: Pool): Promise<OwnHandle<PoolConnection>> {
  const connection = await of.getConnection()
  return {
    tx: connection,
    begin: () => connection.beginTransaction(),
    commit: () => connection.commit(),
    rollback: () => connection.rollback(),
    close: () => connection.release(),
  }
}

/** Each in a process of its own, at nearly the same moment. */
async function openInProcesses(count: number): Promise<readonly { before: number; now: number }[]> {
  const name = newSchema()
  schemas.push(name)
  await pool.query(`create database \`${name}\``)
  const script = `
    import { createPool } from 'mysql2/promise'
    import { mysql2 } from ${JSON.stringify(new URL('./mysql2.ts', import.meta.url).href)}
    import { systemPorts } from ${JSON.stringify(new URL('../system.ts', import.meta.url).href)}
    const pool = createPool(${JSON.stringify({ uri: url })})
    const database = mysql2(pool, { schema: ${JSON.stringify(name)} }).open(systemPorts, { service: 'order', migrate: 'auto' })
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
