/**
 * The payment system: tells the order service of every payment, and repeats what is not answered in time or at all,
 * for as long as it takes. It is not one of the victims, as real ones belong to somebody else.
 *
 * The controller opens it in portions ({ kind: 'open', upTo }), so that work is in flight whenever a kill is due.
 */

import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Order, parseOrders } from '../orders.ts'
import { callJson, HttpError } from './http.ts'
import type { PaymentCallback } from './payment-callback.ts'
import { reportReady, stopWhenAsked } from './process.ts'
import { paymentTimeoutMs } from './third-parties.ts'

const { values } = parseArgs({ options: { orders: { type: 'string' }, url: { type: 'string' } } })
const paymentsAtOnce = 8
const repeatAfterMs = 50
const repeatAfterMsMax = 300
const timeoutMsMax = 4000

const orders = parseOrders(await readFile(values.orders ?? 'orders.jsonl', 'utf8'))
const progress = { started: 0, answered: 0, repeated: 0, declined: 0 }
/** Without a controller nobody opens it in portions: everything at once. */
let openUpTo = process.send ? 0 : orders.length
let opened = Promise.withResolvers<void>()

process.on('message', (message: { kind: string; upTo: number }) => {
  if (message.kind !== 'open') return
  openUpTo = Math.min(message.upTo, orders.length)
  opened.resolve()
  opened = Promise.withResolvers<void>()
})

async function nextOrder(): Promise<Order | undefined> {
  while (progress.started >= openUpTo && progress.started < orders.length) await opened.promise
  const order = orders[progress.started]
  if (order !== undefined) progress.started += 1
  return order
}

async function payUntilAnswered(order: Order): Promise<void> {
  const { id: orderId, userId, amount, rollback } = order
  for (let notification = 1; ; notification += 1) {
    const callback: PaymentCallback = { orderId, userId, amount, rollback, notification }
    // It waits longer each time: on a slow machine it would otherwise repeat faster than anybody can answer.
    const timeoutMs = Math.min(timeoutMsMax, paymentTimeoutMs * 2 ** (notification - 1))
    try {
      const answer = await callJson('POST', `${values.url}/payments/callback`, callback, {
        timeoutMs,
      })
      if ((answer as { answer: string }).answer === 'declined') progress.declined += 1
      return
    } catch (error) {
      if (error instanceof HttpError && error.status >= 400 && error.status < 500) throw error
      progress.repeated += 1
      await sleep(Math.min(repeatAfterMsMax, repeatAfterMs * notification))
    }
  }
}

async function worker(): Promise<void> {
  for (let order = await nextOrder(); order !== undefined; order = await nextOrder()) {
    process.send?.({ kind: 'progress', ...progress })
    await payUntilAnswered(order)
    progress.answered += 1
    process.send?.({ kind: 'progress', ...progress })
  }
}

stopWhenAsked(() => Promise.resolve())
reportReady()
await Promise.all(Array.from({ length: paymentsAtOnce }, worker))
if (!process.send) console.log(progress)
