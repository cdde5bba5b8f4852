import { v7 as uuidv7 } from 'uuid'
import type { Pool, PoolClient } from 'pg'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { numberedOrder, orderId } from './orders.ts'
import { execute } from './server.ts'
import { newPool } from './waybill.ts'

/** What a transaction does besides its business. */
export type Extra = (tx: PoolClient, number: number) => Promise<void>

/** A shop with a business transaction to run over and over, on so many connections at a time. */
export interface Shop {
  /** Runs so many transactions; answers the seconds that they took. */
  run(transactions: number, extra: Extra): Promise<number>
  close(): Promise<void>
}

const accounts = 1_000

export async function createShop(url: string): Promise<void> {
  await execute(
    url,
    `create table orders (id text primary key, account_id integer not null, amount integer not null,
       state text not null, placed_at bigint not null);
     create table accounts (id integer primary key, balance bigint not null) with (fillfactor = 50);
     create table bare_rows (id text primary key, topic text not null, key text not null, body text not null,
       created_at bigint not null);
     insert into accounts select n, 1000000 from generate_series(0, ${accounts - 1}) as n`,
  )
}

/** Numbers of orders, unique over all shops: their tables are the same. */
let placed = 0

export async function openShop(url: string, connections: number): Promise<Shop> {
  const pool = newPool(url, connections)
  const clients = await Promise.all(Array.from({ length: connections }, () => pool.connect()))
  return {
    async run(transactions, extra) {
      let left = transactions
      const startMs = nowMs()
      await Promise.all(
        clients.map(async (client) => {
          while (left-- > 0) await placeOrder(client, placed++, extra)
        }),
      )
      return secondsSince(startMs)
    },
    close: () => close(pool, clients),
  }
}

async function placeOrder(client: PoolClient, number: number, extra: Extra): Promise<void> {
  const amount = 100 + (number % 900)
  await client.query('begin')
  await client.query({
    name: 'insert-order',
    text: 'insert into orders (id, account_id, amount, state, placed_at) values ($1, $2, $3, $4, $5)',
    values: [orderId(number), (number * 7919) % accounts, amount, 'paid', Date.now()],
  })
  await client.query({
    name: 'update-account',
    text: 'update accounts set balance = balance - $1 where id = $2',
    values: [amount, (number * 7919) % accounts],
  })
  await extra(client, number)
  await client.query('commit')
}

export const nothing: Extra = async () => {}

/** The floor: the same body in a table with a primary key and no other index. */
export const bareRow: Extra = async (tx, number) => {
  await tx.query({
    name: 'insert-bare-row',
    text: 'insert into bare_rows (id, topic, key, body, created_at) values ($1, $2, $3, $4, $5)',
    values: [uuidv7(), 'order.paid', orderId(number), JSON.stringify(numberedOrder(number)), Date.now()],
  })
}

async function close(pool: Pool, clients: readonly PoolClient[]): Promise<void> {
  for (const client of clients) client.release()
  await pool.end()
}
