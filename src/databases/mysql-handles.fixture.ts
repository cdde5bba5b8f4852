import { type Pool, createPool } from 'mysql2/promise'
import { type MysqlPool, mysqlSubject } from '../conformance/mysql-subject.ts'
import type { TestedTool } from './connected-tool.fixture.ts'
import { mysqlCrossing } from './mysql-crossing.fixture.ts'
import type { ServerKind, TestPool } from './tool-server.fixture.ts'
import { testOn } from './tool-suite.fixture.ts'

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
  '; commit',
  'select 1; commit',
  'set autocommit = 1',
  'create table x (n integer)',
  'truncate effects',
  "execute immediate 'commit'",
  'lock tables x write',
]

interface TestMysqlPool extends TestPool, MysqlPool {}

const mariadb: ServerKind<TestMysqlPool> = {
  service: 'mariadb',
  claims: {
    mode: 'async',
    dialect: 'mysql',
    prepares: false,
    fillsUp: false,
    refusals: [
      { what: 'a server that is not there', code: 'store.io' },
      { what: 'a schema with an odd name', code: 'config.invalid' },
    ],
    unsafeHandles: [{ what: 'the handle outside of transactions', code: 'publish.no-transaction' }],
  },
  control,
  nowhere: 'mysql://waybill:none@127.0.0.1:1/none',
  connect: (url) => {
    const pool = createPool({ uri: url, connectionLimit: 20 })
    return Object.assign(pool, {
      rows: async (sql: string) => {
        const [rows] = await pool.query(sql)
        return rows as unknown as readonly any[]
      },
      connection: () => pool.getConnection(),
    }) as Pool & TestMysqlPool
  },
  subject: mysqlSubject,
  quoted: (name) => `\`${name}\``,
  dropSchema: (schema) => `drop database if exists \`${schema}\``,
}

/** The suite of handles over a tool, on a real MariaDB. */
export function testTool<Tx>(tool: TestedTool<Tx>): Promise<void> {
  return testOn(mariadb, mysqlCrossing, tool)
}
