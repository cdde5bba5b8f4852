import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Sql } from '../../shop/shared/tables.ts'

/** What the consumer wrote down of orders that were not there. */
export const vainLookUps = 'vain_look_ups'

export function createVainLookUps(sql: Sql): void {
  sql.exec(`create table if not exists ${vainLookUps} (order_id text not null)`)
}

export function noteVainLookUp(sql: Sql, orderId: string): void {
  sql.prepare(`insert into ${vainLookUps} values (?)`).run(orderId)
}

/** Looks orders up where the order service keeps them, in a folder beside this service's. Sees what is committed. */
export function orderLookUp(folder: string): (orderId: string) => boolean {
  const orders = new DatabaseSync(join(folder, '../order/order.db'), { readOnly: true, timeout: 5_000 })
  const find = orders.prepare('select 1 from orders where id = ?')
  return (orderId) => find.get(orderId) !== undefined
}
