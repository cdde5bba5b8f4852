import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService, serviceNames } from '../../scripts/services/index.ts'
import { silentLog } from '../core/log.ts'
import { Waybill, topic } from '../index.ts'
import { migrationSql, openUrl, withoutPassword } from './open.ts'

const OrderPaid = topic<{ n: number }>('order.paid')

describe.each(serviceNames)('a URL of %s', (name) => {
  test('opens the database, with a pool that ends with it; its tables are made only when asked for', async (context) => {
    const found = await requireService(name)
    if ('skipped' in found) return context.skip(found.skipped)
    const fresh = await freshDatabase(name, found.url)
    try {
      const open = (migrate?: 'auto'): Waybill<any, 'sync' | 'async'> =>
        new Waybill({
          service: 'order',
          database: openUrl(fresh.url),
          log: silentLog,
          ...(migrate ? { migrate } : {}),
        })
      const refused = open()
      await expect(refused.schema()).rejects.toMatchObject({ code: 'store.schema-missing' })
      await refused.stop()
      const waybill = open('auto')
      expect(await waybill.schema()).toEqual({ before: 0, now: 1 })
      const id = await waybill.publishNow(OrderPaid, { key: 'order-1', body: { n: 1 } })
      expect(await waybill.search({ key: 'order-1' })).toMatchObject([{ id }])
      await waybill.stop()
      expect(migrationSql(fresh.url)).toContain('waybill_messages')
      const password = new URL(fresh.url).password
      expect(password === '' || !withoutPassword(fresh.url).includes(password)).toBe(true)
    } finally {
      await fresh.drop()
    }
  })
})
