import type { Context, Message } from 'waybill'
import type { SqliteTx } from 'waybill/sqlite'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { newWaybill, orderPaid, type Order } from './messages.ts'

export interface DrainOptions {
  readonly group: string
  /** How many messages the handler takes at once; one at a time if left out. */
  readonly batch?: number
  /** Stop after this many. */
  readonly messages: number
  /** Called after each transaction, with how many messages are done. */
  committed?(done: number): void
}

/**
 * Starts a group with a handler that does nothing and answers its messages per second, from `start` until the receipts of so many
 * are committed. Messages count when their transaction has committed, not when the handler saw them.
 */
export async function drain(path: string, options: DrainOptions): Promise<number> {
  const { group, batch, messages } = options
  const waybill = newWaybill(path)
  const finished = Promise.withResolvers<number>()
  let done = 0
  let startMs = 0
  const count = (by: number, { tx }: Context<SqliteTx>): void => {
    // Then the instance is stopping, and what it still has in hand is not counted.
    if (done >= messages) return
    waybill.afterCommit(tx, () => {
      done += by
      options.committed?.(done)
      if (done >= messages) finished.resolve(done / secondsSince(startMs))
    })
  }
  if (batch === undefined)
    waybill.consume(orderPaid, { group, from: 'oldest' }, (_message, context) => count(1, context))
  else
    waybill.consume(
      orderPaid,
      { group, from: 'oldest', batch },
      (list: readonly Message<Order>[], context: Context<SqliteTx>) => count(list.length, context),
    )
  startMs = nowMs()
  await waybill.start()
  const perSecond = await finished.promise
  await waybill.stop()
  return perSecond
}
