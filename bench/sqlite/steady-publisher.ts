import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NewMessage } from 'waybill'
import { nowMs } from '../harness/clock.ts'
import { Random } from '../harness/random.ts'
import { orderPaid, orders, type Order, type SqliteWaybill } from './messages.ts'

export interface Pace {
  readonly messages: number
  readonly perSecond: number
  readonly seed: number
  readonly bodyBytes: number
}

/**
 * Publishes numbered messages, the number being the key, and answers when each was committed. The intervals are random, from half
 * to one and a half times the mean: even ones could keep step with some timer and always meet it at its best or at its worst.
 */
export async function publishSteadily(
  { messages, perSecond, seed, bodyBytes }: Pace,
  publish: (message: NewMessage<Order>) => void | Promise<void>,
): Promise<readonly number[]> {
  const random = new Random(seed)
  const bodies = orders(bodyBytes)
  const committed: number[] = []
  let nextMs = nowMs()
  for (let number = 0; number < messages; number++) {
    nextMs += (1000 / perSecond) * (0.5 + random.next())
    await sleep(Math.max(0, nextMs - nowMs()))
    await publish({ key: String(number), body: bodies[number % bodies.length]! })
    committed.push(nowMs())
  }
  return committed
}

/** Publishes in a transaction of the user's own. */
export function ownHandle(
  waybill: SqliteWaybill,
  database: DatabaseSync,
): (message: NewMessage<Order>) => void {
  return (message) => {
    database.exec('begin immediate')
    waybill.publish(database, orderPaid, message)
    database.exec('commit')
  }
}
