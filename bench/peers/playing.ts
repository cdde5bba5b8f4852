import { type Context, type Message, type Waybill, topic } from 'waybill'
import type { Order } from '../sqlite/messages.ts'
import { numberOf, numberedOrder, orderId } from './orders.ts'
import { type OpenPeer, type Use, type Workers, perMessageConcurrency } from './peer.ts'

/** What Waybill does as a contestant, on whichever database. */
export const orderPaid = topic<Order>('order.paid')
export const group = 'bench'
export const batchDefault = 100

type Publishing<Tx> = Pick<OpenPeer<Tx>, 'enqueue' | 'enqueueMany'>

/** @param isKeyed whether a message can be found by a key, and stays in the order of another */
export function publishing<Tx>(instance: Waybill<Tx, 'async'>, isKeyed = true): Publishing<Tx> {
  const message = (number: number) => ({
    ...(isKeyed ? { key: orderId(number), shardingKey: `user-${number % 10_000}` } : {}),
    body: numberedOrder(number),
  })
  return {
    async enqueue(tx, number) {
      await instance.publish(tx, orderPaid, message(number))
    },
    async enqueueMany(from, count) {
      const messages = Array.from({ length: count }, (_, i) => message(from + i))
      await instance.transaction((tx) => instance.publish(tx, orderPaid, messages))
    },
  }
}

export interface Consuming {
  /** How many messages the handler takes at once where it takes many. */
  readonly batch: number
  /** Whether the handler looks into each message's body, which is parsed for that, or only at its key. */
  readonly readsBody: boolean
}

export const consumingDefault: Consuming = { batch: batchDefault, readsBody: false }

/** Starts the group with a handler that does nothing but tell numbers; takes many at once only where that is the way it is used. */
export async function consume<Tx>(
  instance: Waybill<Tx, 'async'>,
  use: Use,
  handled: (number: number) => void,
  { batch, readsBody }: Consuming = consumingDefault,
): Promise<Workers> {
  const counts = new Settling()
  const numberIn = (message: Message<Order>): number => numberOf(readsBody ? message.body.id : message.key!)
  const handle = (message: Message<Order>, { tx }: Context<Tx>): void => {
    handled(numberIn(message))
    counts.begin(1)
    instance.afterCommit(tx, () => counts.settle(1))
  }
  const handleMany = (messages: readonly Message<Order>[], { tx }: Context<Tx>): void => {
    for (const message of messages) handled(numberIn(message))
    counts.begin(messages.length)
    instance.afterCommit(tx, () => counts.settle(messages.length))
  }
  if (use === 'drain' || use === 'endToEnd')
    instance.consume(orderPaid, { group, from: 'oldest', batch }, handleMany)
  else instance.consume(orderPaid, { group, from: 'oldest', concurrency: perMessageConcurrency }, handle)
  await instance.start()
  return { settled: () => counts.settled(), stop: () => instance.stop() }
}

/** Messages that this reader's cursors have not passed. */
export async function waiting<Tx>(instance: Waybill<Tx, 'async'>, reader: string): Promise<number> {
  const queues = (await instance.lag()).filter((queue) => queue.reader === reader)
  if (queues.length === 0) throw new Error(`nobody reads as ${reader}`)
  return queues.reduce((sum, queue) => sum + queue.waiting, 0)
}

/** What was handled and what of it is recorded: equal once nothing is under way. */
export class Settling {
  #begun = 0
  #done = 0
  #waiting: (() => void) | undefined

  begin(by: number): void {
    this.#begun += by
  }

  settle(by: number): void {
    this.#done += by
    if (this.#done >= this.#begun) this.#waiting?.()
  }

  async settled(): Promise<void> {
    if (this.#done < this.#begun) await new Promise<void>((resolve) => (this.#waiting = resolve))
  }
}
