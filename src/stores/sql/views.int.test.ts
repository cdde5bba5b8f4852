import { createPool } from 'mysql2/promise'
import { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../../scripts/services/index.ts'
import { mysql2 } from '../../databases/mysql2.ts'
import { pg } from '../../databases/pg.ts'
import { Waybill, deadLetter, topic } from '../../index.ts'
import { until } from '../../testing/until.ts'

const orderPaid = topic<{ id: string }>('order.paid', undefined, { queues: 1 })

for (const kind of ['postgres', 'mariadb'] as const) {
  const found = await requireService(kind)

  describe.skipIf('skipped' in found)(`the public views on ${kind}`, () => {
    test('show dispositions, dead letters, and how far each reader is behind', async () => {
      await using database = await freshDatabase(kind, 'url' in found ? found.url : '')
      const { handle, rows, close } = kind === 'postgres' ? onPostgres(database.url) : onMariadb(database.url)
      const options = {
        service: 'order',
        database: handle as ReturnType<typeof pg>,
        migrate: 'auto',
      } as const
      const order = new Waybill(options)
      order.consume(orderPaid, { group: 'coupon' }, ({ body }) =>
        body.id === 'order-2' ? deadLetter({ because: 'no such customer' }) : undefined,
      )
      await order.start()
      for (const id of ['order-1', 'order-2']) await order.publishNow(orderPaid, { key: id, body: { id } })
      const states = 'select state from waybill_v_dispositions order by state'
      await until('both are settled', async () => (await rows(states)).length === 2)
      await order.stop()
      const publisher = new Waybill(options)
      await publisher.publishNow(orderPaid, { key: 'order-3', body: { id: 'order-3' } })
      await publisher.lag()
      await publisher.stop()

      expect((await rows(states)).map(({ state }) => state)).toEqual(['dead', 'done'])
      const [dead] = await rows('select * from waybill_v_dead_letters')
      expect(dead).toMatchObject({ group: 'coupon', key: 'order-2', because: 'no such customer' })
      const [lag] = await rows("select * from waybill_v_lag where reader = 'coupon'")
      expect([Number(lag!['position']), Number(lag!['waiting'])]).toEqual([2, 1])
      await close()
    })
  })
}

type Rows = (sql: string) => Promise<Record<string, unknown>[]>
interface Opened {
  readonly handle: unknown
  readonly rows: Rows
  readonly close: () => Promise<void>
}

function onPostgres(url: string): Opened {
  const pool = new Pool({ connectionString: url })
  // Idle connections, when the database is dropped.
  pool.on('error', () => {})
  return {
    handle: pg(pool),
    rows: async (sql) => (await pool.query(sql)).rows,
    close: () => pool.end(),
  }
}

function onMariadb(url: string): Opened {
  const pool = createPool(url)
  return {
    handle: mysql2(pool),
    rows: async (sql) => (await pool.query(sql))[0] as Record<string, unknown>[],
    close: () => pool.end(),
  }
}
