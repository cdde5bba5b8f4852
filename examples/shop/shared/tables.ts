/** The tables of the shop's services, the same on both sides. */

import { DatabaseSync } from 'node:sqlite'
import type { PaymentCallback } from './payment-callback.ts'

/** What a service's own SQL needs: node:sqlite's handle has it, and so has Waybill's `tx`. */
export interface Sql {
  exec(sql: string): void
  prepare(sql: string): { run(...values: (string | number)[]): { readonly changes: number | bigint } }
}

export interface EffectRow {
  readonly orderId: string
  readonly group: string
  readonly messageId: string
  readonly incarnation: number
  readonly publishedAtMs: number
}

const ordersTable = `create table if not exists orders (
  id text primary key, user_id text not null, amount real not null, paid_at_ms integer not null)`

// No unique key on purpose: it would hide the second effect that the witness looks for.
const effectsTable = `create table if not exists effects (
  order_id text not null, grp text not null, message_id text not null, incarnation integer not null,
  at_ms integer not null, published_at_ms integer not null)`

export function createOrdersTable(sql: Sql): void {
  sql.exec(ordersTable)
}

export function createEffectsTable(sql: Sql): void {
  sql.exec(effectsTable)
}

/** False when the order was there already: the callback is a repeated one. */
export function insertOrder(sql: Sql, callback: PaymentCallback): boolean {
  const insert =
    'insert into orders (id, user_id, amount, paid_at_ms) values (?, ?, ?, ?) on conflict (id) do nothing'
  const { changes } = sql.prepare(insert).run(callback.orderId, callback.userId, callback.amount, Date.now())
  return Number(changes) === 1
}

/** The red packet, the coupon, the parcel: whatever the service does in its own database, it is one such row. */
export function insertEffect(sql: Sql, effect: EffectRow): void {
  const insert = `insert into effects (order_id, grp, message_id, incarnation, at_ms, published_at_ms)
    values (?, ?, ?, ?, ?, ?)`
  const { orderId, group, messageId, incarnation, publishedAtMs } = effect
  sql.prepare(insert).run(orderId, group, messageId, incarnation, Date.now(), publishedAtMs)
}

/** As durable as Waybill's connections, so that the two sides differ in the protocol and not in the disk settings. */
export function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 5000 })
  database.exec('pragma journal_mode = wal; pragma synchronous = full')
  return database
}
