import { DatabaseSync } from 'node:sqlite'
import { topic, Waybill } from 'waybill'
import { sqlite, type SqliteTx } from 'waybill/sqlite'

/** An order as shops send it: JSON of a given length. */
export interface Order {
  readonly id: string
  readonly userId: string
  readonly amount: number
  readonly items: readonly {
    readonly sku: string
    readonly name: string
    readonly quantity: number
    readonly price: number
  }[]
  readonly note: string
}

export const orderPaid = topic<Order>('order.paid')

export type SqliteWaybill = Waybill<SqliteTx, 'sync'>

export function newWaybill(path: string): SqliteWaybill {
  return new Waybill({ service: 'bench', database: sqlite(path) })
}

/** A user's own handle, with the settings that Waybill asks for. */
export function userHandle(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 10_000 })
  database.exec('pragma journal_mode = wal; pragma synchronous = full')
  return database
}

const itemsMax = 8

/** @throws RangeError if the length cannot be reached: an order has at least some 80 bytes */
export function order(number: number, bytes: number): Order {
  const id = `order-${String(number).padStart(9, '0')}`
  const bare: Order = {
    id,
    userId: `user-${String(number % 10_000).padStart(5, '0')}`,
    amount: 100 + (number % 900),
    items: [],
    note: '',
  }
  const items: Order['items'][number][] = []
  const length = (): number => JSON.stringify({ ...bare, items }).length
  while (items.length < itemsMax) {
    items.push({
      sku: `sku-${items.length}-${number % 1000}`,
      name: 'a red packet',
      quantity: 1,
      price: 12.5,
    })
    if (length() <= bytes) continue
    items.pop()
    break
  }
  return { ...bare, items, note: 'n'.repeat(bytes - length()) }
}

/** Orders to publish over and over: composing one costs the publisher, not Waybill. */
export function orders(bytes: number): readonly Order[] {
  return Array.from({ length: 64 }, (_, i) => order(i, bytes))
}

const perTransaction = 500

/**
 * Publishes this many messages, 500 in a transaction, and closes the file, so that nothing is left in its WAL. Calls back after
 * each transaction, with how many there are.
 */
export async function fill(
  path: string,
  messages: number,
  bytes: number,
  filled: (done: number) => void = () => {},
): Promise<void> {
  const waybill = newWaybill(path)
  const database = userHandle(path)
  const bodies = orders(bytes)
  for (let done = 0; done < messages; done += perTransaction) {
    const count = Math.min(perTransaction, messages - done)
    const batch = Array.from({ length: count }, (_, i) => {
      const body = bodies[i % bodies.length]!
      return { body, key: `order-${done + i}`, shardingKey: `user-${(done + i) % 10_000}` }
    })
    database.exec('begin immediate')
    waybill.publish(database, orderPaid, batch)
    database.exec('commit')
    filled(done + count)
  }
  database.close()
  await waybill.stop()
}
