/** An ordinary program: one database, no ports. Publishes one order, handles it, and ends. */
import { join } from 'node:path'
import { sqlite } from '../../src/databases/sqlite.ts'
import { Waybill } from '../../src/index.ts'
import { ordersTopic } from './messages.ts'
import { configuration, leave } from './program.ts'

const { folder } = configuration<{ readonly folder: string }>()
const topic = ordersTopic(1)
const waybill = new Waybill({ service: 'shop', database: sqlite(join(folder, 'shop.db')) })
const handled = Promise.withResolvers<void>()

waybill.consume(topic, { group: 'coupon', from: 'oldest' }, (_, { tx }) => {
  tx.exec('create table if not exists effects (n integer)')
  tx.exec('insert into effects values (1)')
  handled.resolve()
})
await waybill.start()
await waybill.publishNow(topic, { body: { n: 1, account: 'account-1' } })
await handled.promise
await waybill.stop()
leave()
