import type { DatabaseSync } from 'node:sqlite'
import { nowMs } from '../harness/clock.ts'
import { newWaybill, orderPaid, orders, userHandle } from './messages.ts'

/** What a transaction does besides its business: nothing, publish, or write a row into an outbox table made by hand. */
export type Extra = 'nothing' | 'publish' | 'byHand'

/** A shop's database, one file, with a business transaction to run over and over on a handle of the user's own. */
export interface Shop {
  /** Runs so many transactions; answers the seconds that they took. */
  run(transactions: number): number
  close(): Promise<void>
}

const accounts = 1_000

export function openShop(path: string, extra: Extra, bodyBytes: number): Shop {
  const waybill = newWaybill(path)
  const database = userHandle(path)
  createTables(database)
  const bodies = orders(bodyBytes)
  const insert = database.prepare(
    'insert into orders (id, account_id, amount, state, placed_at) values (?, ?, ?, ?, ?)',
  )
  const update = database.prepare('update accounts set balance = balance - ? where id = ?')
  const outbox = database.prepare('insert into outbox (body) values (?)')
  let placed = 0
  const placeOrder = (): void => {
    const number = ++placed
    const id = `order-${String(number).padStart(9, '0')}`
    const account = (number * 7919) % accounts
    const body = bodies[number % bodies.length]!
    database.exec('begin immediate')
    insert.run(id, account, body.amount, 'paid', Date.now())
    update.run(body.amount, account)
    if (extra === 'publish')
      waybill.publish(database, orderPaid, { key: id, shardingKey: `user-${account}`, body })
    else if (extra === 'byHand') outbox.run(JSON.stringify(body))
    database.exec('commit')
  }
  return {
    run(transactions) {
      const startMs = nowMs()
      for (let i = 0; i < transactions; i++) placeOrder()
      return (nowMs() - startMs) / 1000
    },
    async close() {
      database.close()
      await waybill.stop()
    },
  }
}

function createTables(database: DatabaseSync): void {
  database.exec(`
    create table orders (id text primary key, account_id integer not null, amount integer not null,
      state text not null, placed_at integer not null);
    create table accounts (id integer primary key, balance integer not null);
    create table outbox (id integer primary key, body text not null);
    begin`)
  const insert = database.prepare('insert into accounts (id, balance) values (?, 1000000)')
  for (let id = 0; id < accounts; id++) insert.run(id)
  database.exec('commit')
}
