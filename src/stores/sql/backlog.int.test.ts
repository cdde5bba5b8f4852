import type { PoolClient } from 'pg'
import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../../scripts/services/index.ts'
import { Waybill, type WaybillOptions, topic } from '../../index.ts'
import { openPool } from './pools.fixture.ts'

const orderPaid = topic<number>('order.paid')
/** More than the portions that are put into sequence before the first of them is read, and the one that is fetched ahead. */
const backlog = 9_000

for (const kind of ['postgres', 'mariadb'] as const) {
  const found = await requireService(kind)

  describe.skipIf('skipped' in found)(`a group that begins with a backlog on ${kind}`, () => {
    test.each(['is new', 'is known'])(
      'handles its first message before all of the backlog is in sequence: the group %s',
      async (which) => {
        await using database = await freshDatabase(kind, 'url' in found ? found.url : '')
        const { handle, rows, close } = openPool(kind, database.url)
        const options = { service: 'order', database: handle, migrate: 'auto' } as const
        if (which === 'is known') {
          const before = consumer(options, () => {})
          await before.start()
          await before.stop()
        }
        const publisher = new Waybill(options)
        const messages = Array.from({ length: backlog }, (_, body) => ({ body }))
        await publisher.transaction((tx) => publisher.publish(tx, orderPaid, messages))
        await publisher.stop()

        const first = Promise.withResolvers<void>()
        const after = consumer(options, first.resolve)
        await after.start()
        await first.promise
        const [ends] = await rows('select coalesce(sum(seq), 0) as seq from waybill_ends')
        await after.stop({ withinMs: 10 })
        await close()
        expect(Number(ends!['seq'])).toBeGreaterThan(0)
        expect(Number(ends!['seq'])).toBeLessThan(backlog)
      },
    )
  })
}

/** Stands still at its first message, until it is to stop. */
function consumer(
  options: WaybillOptions<PoolClient, 'async'>,
  began: () => void,
): Waybill<PoolClient, 'async'> {
  const waybill = new Waybill(options)
  waybill.consume(
    orderPaid,
    { group: 'coupon', from: 'oldest', order: 'sharding-key' },
    async (_, { signal }) => {
      began()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    },
  )
  return waybill
}
