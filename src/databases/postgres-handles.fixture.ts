import { Pool } from 'pg'
import { postgresSubject } from '../conformance/postgres-subject.ts'
import type { TestedTool } from './connected-tool.fixture.ts'
import { postgresCrossing } from './postgres-crossing.fixture.ts'
import type { ServerKind, TestPool } from './tool-server.fixture.ts'
import { testOn } from './tool-suite.fixture.ts'

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

interface PostgresPool extends TestPool {
  query(sql: string): Promise<{ readonly rows: readonly any[] }>
}

const postgres: ServerKind<PostgresPool> = {
  service: 'postgres',
  claims: {
    mode: 'async',
    dialect: 'postgres',
    prepares: false,
    fillsUp: false,
    refusals: [
      { what: 'a server that is not there', code: 'store.io' },
      { what: 'a schema with an odd name', code: 'config.invalid' },
    ],
    unsafeHandles: [{ what: 'the handle outside of transactions', code: 'publish.no-transaction' }],
  },
  control,
  nowhere: 'postgres://postgres@127.0.0.1:1/postgres',
  connect: (url) => {
    const pool = poolOf(url)
    return Object.assign(pool, {
      rows: async (sql: string) => (await pool.query(sql)).rows,
      connection: () => pool.connect(),
    })
  },
  subject: postgresSubject,
  quoted: (name) => `"${name}"`,
  dropSchema: (schema) => `drop schema if exists "${schema}" cascade`,
}

/** The suite of handles over a tool, on a real PostgreSQL. */
export function testTool<Tx>(tool: TestedTool<Tx>): Promise<void> {
  return testOn(postgres, postgresCrossing, tool)
}

/** A pool whose end does not wait until its connections are closed, as all of `pg` do: dropping the database then breaks some. */
export function poolOf(url: string): Pool {
  const pool = new Pool({ connectionString: url, max: 20 })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}
