import { randomUUID } from 'node:crypto'
import { Pool } from 'pg'
import { afterAll, describe, test } from 'vitest'
import { requireService } from '../../../scripts/services/index.ts'
import { postgresSubject } from '../../conformance/postgres-subject.ts'
import type { StoreClaims } from '../../conformance/store-bench.ts'
import { storeSuite } from '../../conformance/store-suite.ts'
import { pg } from '../../databases/pg.ts'
import { testPorts } from '../../testing/ports.ts'

const timeoutMs = 30_000
const claims: StoreClaims = {
  can: { clock: 'database', wakeUps: 'notify', sharedByProcesses: true },
  timeTravel: true,
}
const found = await requireService('postgres')
const pool = new Pool({ connectionString: 'url' in found ? found.url : '', max: 20 })
/** One for this process: each test finds it empty. */
const schema = `t_${randomUUID().replaceAll('-', '').slice(0, 20)}`

afterAll(async () => {
  if ('url' in found) await pool.query(`drop schema if exists "${schema}" cascade`)
  await pool.end()
})

describe.skipIf('skipped' in found)('the store over pg', () => {
  const make = () => {
    const ports = testPorts()
    return postgresSubject({
      pool,
      schema,
      at: (name) => pg(pool, { schema: name }),
      ports,
      advance: (ms) => ports.clock.advance(ms),
      run: (tx, sql, params) => tx.query(sql, [...params]),
    })
  }
  for (const { name, run, skip } of storeSuite(make, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})
