import { type Connection, createConnection, createPool } from 'mysql2/promise'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../../scripts/services/index.ts'
import { mysql2 } from '../../databases/mysql2.ts'
import { Waybill } from '../../index.ts'

const found = await requireService('mariadb')

describe.skipIf('skipped' in found)('the lanes of leases', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>
  let connection: Connection
  beforeEach(async () => {
    database = await freshDatabase('mariadb', (found as { url: string }).url)
    connection = await createConnection(database.url)
    const pool = createPool(database.url)
    const waybill = new Waybill({ service: 'order', database: mysql2(pool), migrate: 'auto' })
    await waybill.schema()
    await waybill.stop()
    await pool.end()
  })
  afterEach(async () => {
    await connection.end()
    await database.drop()
  })

  test('differ though the generators of their connections began alike', async () => {
    const readers = ['coupon', 'red-packet']
    for (const reader of readers) {
      await connection.query('set rand_seed1 = 1, rand_seed2 = 1')
      await connection.query('insert into waybill_leases (reader, topic, queue) values (?, ?, 0)', [
        reader,
        'order.paid',
      ])
    }
    const [rows] = await connection.query('select distinct lane from waybill_leases')
    expect(rows).toHaveLength(readers.length)
  })
})
