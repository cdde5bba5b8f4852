import { Pool, type PoolClient } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import { testPorts } from '../testing/ports.ts'
import { until } from '../testing/until.ts'
import { PgPoolDriver, asPgPool } from './pg-pool.ts'

const found = await requireService('postgres')
const times = 3

describe.skipIf('skipped' in found)('a connection that is cut under pg', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>
  let pool: Pool
  beforeEach(async () => {
    database = await freshDatabase('postgres', 'url' in found ? found.url : '')
    pool = new Pool({ connectionString: database.url })
    pool.on('error', () => {})
  })
  afterEach(() => database.drop())

  test('while it begins to listen is opened anew once, and leaves none behind: the pool would never end', async () => {
    const ports = testPorts()
    const driver = new PgPoolDriver(asPgPool(pool), ports)
    let left = times
    pool.on('acquire', (client) => {
      if (left-- > 0) setImmediate(() => socketOf(client).destroy())
    })
    const heard = Promise.withResolvers<void>()
    const stop = driver.listen('waybill', () => heard.resolve())
    for (let time = 0; time < times; time++) {
      await until('the cut connection is given back', () => left < times - time && pool.totalCount === 0)
      await ports.clock.advance(1_000)
    }
    await heard.promise
    expect(pool.totalCount).toBe(1)
    stop()
    await pool.end()
  })

  test('listens on one connection again, until it is stopped', async () => {
    const ports = testPorts()
    const driver = new PgPoolDriver(asPgPool(pool), ports)
    let heard = 0
    const stop = driver.listen('waybill', () => heard++)
    for (let time = 1; time <= times; time++) {
      await until('it listens', () => heard === time)
      await pool.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where query = \'listen "waybill"\' and datname = current_database()',
      )
      await until('the cut connection is given back', () => pool.totalCount === pool.idleCount)
      await ports.clock.advance(1_000)
    }
    await until('it listens', () => heard === times + 1)
    expect(pool.totalCount - pool.idleCount).toBe(1)
    stop()
    await pool.end()
  })
})

function socketOf(client: PoolClient): { destroy(): void } {
  return (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream
}
