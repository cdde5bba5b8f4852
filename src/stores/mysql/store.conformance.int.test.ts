import { randomUUID } from 'node:crypto'
import { createPool } from 'mysql2/promise'
import { afterAll, describe, test } from 'vitest'
import { requireService } from '../../../scripts/services/index.ts'
import { mysqlSubject } from '../../conformance/mysql-subject.ts'
import type { StoreClaims } from '../../conformance/store-bench.ts'
import { storeSuite } from '../../conformance/store-suite.ts'
import { mysql2 } from '../../databases/mysql2.ts'
import { testPorts } from '../../testing/ports.ts'

const timeoutMs = 30_000
const claims: StoreClaims = {
  can: { clock: 'database', wakeUps: 'poll', sharedByProcesses: true },
  timeTravel: true,
}

const found = await requireService('mariadb')
/** As many connections as a test has transactions at once: those of two processes must not queue up behind each other. */
const pool = createPool({ uri: 'url' in found ? found.url : 'mysql://127.0.0.1:1/none', connectionLimit: 90 })
/** One for this process: each test finds it empty. */
const schema = `t_${randomUUID().replaceAll('-', '').slice(0, 20)}`

afterAll(async () => {
  if ('url' in found) await pool.query(`drop database if exists \`${schema}\``)
  await pool.end()
})

describe.skipIf('skipped' in found)('the store over mysql2', () => {
  const make = () => {
    const ports = testPorts()
    return mysqlSubject({
      pool,
      schema,
      at: (name) => mysql2(pool, { schema: name }),
      ports,
      advance: (ms) => ports.clock.advance(ms),
      run: (tx, sql, params) => tx.execute(sql, [...params]),
    })
  }
  for (const { name, run, skip } of storeSuite(make, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})
