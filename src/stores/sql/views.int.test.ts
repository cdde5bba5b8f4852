import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../../scripts/services/index.ts'
import { Waybill, deadLetter, topic } from '../../index.ts'
import { until } from '../../testing/until.ts'
import { openPool } from './pools.fixture.ts'

const orderPaid = topic<{ id: string }>('order.paid', undefined, { queues: 1 })

for (const kind of ['postgres', 'mariadb'] as const) {
  const found = await requireService(kind)

  describe.skipIf('skipped' in found)(`the public views on ${kind}`, () => {
    test('show dispositions, dead letters, and how far each reader is behind', async () => {
      await using database = await freshDatabase(kind, 'url' in found ? found.url : '')
      const { handle, rows, close } = openPool(kind, database.url)
      const options = { service: 'order', database: handle, migrate: 'auto' } as const
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
