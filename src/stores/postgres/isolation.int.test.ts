import { Pool, type PoolClient } from 'pg'
import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../../scripts/services/index.ts'
import { pg } from '../../databases/pg.ts'
import { Waybill, topic } from '../../index.ts'
import { until } from '../../testing/until.ts'

const found = await requireService('postgres')
const orderPaid = topic<number>('order.paid', undefined, { queues: 1 })

describe.skipIf('skipped' in found)(
  'connections whose default is another isolation level on PostgreSQL',
  () => {
    test.each(['read committed', 'repeatable read', 'serializable'])(
      'a group handles everything and hears of a pause: %s',
      async (level) => {
        await using database = await freshDatabase('postgres', 'url' in found ? found.url : '')
        const options = `-c default_transaction_isolation=${level.replace(' ', '\\ ')}`
        const pool = new Pool({ connectionString: database.url, options })
        pool.on('error', () => {})
        const waybill = new Waybill<PoolClient, 'async'>({
          service: 'order',
          database: pg(pool),
          migrate: 'auto',
        })
        const handled: number[] = []
        waybill.consume(orderPaid, { group: 'coupon' }, ({ body }) => void handled.push(body))
        await waybill.start()
        for (const body of [1, 2]) {
          await waybill.publishNow(orderPaid, { body })
          await until('it is handled', () => handled.length === body)
        }
        await waybill.groups.pause('coupon', { by: 'ann', because: 'the bank is down' })
        await waybill.publishNow(orderPaid, { body: 3 })
        await until('the log has it', async () => (await waybill.groups.list())[0]!.waiting === 1)
        await waybill.groups.resume('coupon', { by: 'ann', because: 'it is up' })
        await until('it is handled', () => handled.length === 3)
        expect(handled).toEqual([1, 2, 3])
        expect((await pool.query('show transaction_isolation')).rows).toEqual([
          { transaction_isolation: level },
        ])
        await waybill.stop()
        await pool.end()
      },
    )
  },
)
