/** Three ways to tell of an order only once it is there, side by side. `meetFate` is where the transaction is slow or rolls back. */

import { topic, type Waybill } from 'waybill'
import type { SqliteTx } from 'waybill/sqlite'
import { orderPaid, type OrderPaidBody } from '../../shop/shared/order-paid.ts'
import { AccountFrozen } from '../../shop/shared/payment-callback.ts'
import { insertOrder } from '../../shop/shared/tables.ts'
import { mayDieAt } from '../harness/die-at.ts'
import { meetFate } from './fate.ts'
import { behindTheCommit, type Cure, type OrderRequest } from './order-request.ts'

type OrderWaybill = Waybill<SqliteTx, 'sync'>

export const OrderPaid = topic<OrderPaidBody>(orderPaid)

/** Simple, for what may be lost: whoever dies between the commit and the send has told nobody. */
async function afterTheCommit(waybill: OrderWaybill, order: OrderRequest): Promise<void> {
  await waybill.transaction((tx) => {
    insertOrder(tx, order)
    waybill.afterCommit(tx, async () => {
      mayDieAt(behindTheCommit)
      await waybill.publishNow(OrderPaid, messageOf(order))
    })
    meetFate(order)
  })
}

/** For work that is long, or elsewhere: the event is written first, unseen, and decided with the work. Whoever dies before is asked later. */
async function halfMessage(waybill: OrderWaybill, order: OrderRequest): Promise<void> {
  await waybill.publishHalf(OrderPaid, messageOf(order), async ({ id }) => {
    try {
      await waybill.transaction((tx) => {
        insertOrder(tx, order)
        waybill.decide(tx, id, 'commit')
        meetFate(order)
      })
    } catch (error) {
      if (error instanceof AccountFrozen) return 'rollback'
      throw error
    }
    mayDieAt(behindTheCommit)
    return 'commit'
  })
}

/** The one to begin with: the event is a row in the transaction of the order, and sent by the relay once that row can be seen. */
async function localMessageTable(waybill: OrderWaybill, order: OrderRequest): Promise<void> {
  await waybill.transaction((tx) => {
    insertOrder(tx, order)
    waybill.publish(tx, OrderPaid, messageOf(order))
    meetFate(order)
  })
  mayDieAt(behindTheCommit)
}

export const cures: Readonly<Record<Cure, typeof localMessageTable>> = {
  'after the commit': afterTheCommit,
  'half message': halfMessage,
  'local message table': localMessageTable,
}

function messageOf({ orderId, userId, amount }: OrderRequest) {
  return { key: orderId, body: { orderId, userId, amount, publishedAtMs: Date.now() } }
}
