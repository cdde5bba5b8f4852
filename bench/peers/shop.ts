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

/** How a transaction sends its statements: each once the one before is answered, or all between BEGIN and COMMIT at once. */
export type Form = 'awaited' | 'pipelined'

export async function openShop(url: string, connections: number, form: Form): Promise<Shop> {
  const pool = newPool(url, connections, form === 'pipelined')
  const place = form === 'pipelined' ? placePipelined : placeOrder
  const clients = await Promise.all(Array.from({ length: connections }, () => pool.connect()))
  return {
    async run(transactions, extra) {
      let left = transactions
      const startMs = nowMs()
      await Promise.all(
        clients.map(async (client) => {
          while (left-- > 0) await place(client, placed++, extra)
        }),
      )
      return secondsSince(startMs)
    },
    close: () => close(pool, clients),
  }
}

async function placeOrder(client: PoolClient, number: number, extra: Extra): Promise<void> {
  const { insertOrder, updateAccount } = statementsOf(number)
  await client.query('begin')
  await client.query(insertOrder)
  await client.query(updateAccount)
  await extra(client, number)
  await client.query('commit')
}

async function placePipelined(client: PoolClient, number: number, extra: Extra): Promise<void> {
  const { insertOrder, updateAccount } = statementsOf(number)
  await client.query('begin')
  await Promise.all([client.query(insertOrder), client.query(updateAccount), extra(client, number)])
  await client.query('commit')
}

function statementsOf(number: number) {
  const account = (number * 7919) % accounts
  const amount = 100 + (number % 900)
  return {
    insertOrder: {
      name: 'insert-order',
      text: 'insert into orders (id, account_id, amount, state, placed_at) values ($1, $2, $3, $4, $5)',
      values: [orderId(number), account, amount, 'paid', Date.now()],
    },
    updateAccount: {
      name: 'update-account',
      text: 'update accounts set balance = balance - $1 where id = $2',
      values: [amount, account],
    },
  }
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
