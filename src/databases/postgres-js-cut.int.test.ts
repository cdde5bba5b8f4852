import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import { testPorts } from '../testing/ports.ts'
import { PostgresJsDriver } from './postgres-js-driver.ts'

const found = await requireService('postgres')
const times = 20

describe.skipIf('skipped' in found)('a connection that is cut under postgres.js', () => {
  test('in the middle of a window of the log is not given back: whoever came next would wait for ever', async () => {
    await using database = await freshDatabase('postgres', 'url' in found ? found.url : '')
    const sql = postgres(database.url, { prepare: false, max: 1, onnotice: () => {} })
    const driver = new PostgresJsDriver(sql, testPorts())
    for (let time = 0; time < times; time++) {
      const cut = driver.alone('select pg_terminate_backend(pg_backend_pid())')
      // The library gives the first error on to who waits for the connection.
      const next = driver.alone('select 1 as n').catch(() => 'failed')
      await expect(cut).rejects.toThrow(/terminat|CONNECTION/)
      const later = driver.alone('select 1 as n').catch(() => 'failed')
      await Promise.all([next, later])
      expect(await driver.alone('select 1 as n')).toEqual([{ n: 1 }])
    }
    await sql.end({ timeout: 1 })
  })
})
