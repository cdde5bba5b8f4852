/** The tables of the shop's services, the same on both sides and in every database. */

import { DatabaseSync } from 'node:sqlite'
import type { PaymentCallback } from './payment-callback.ts'

/** What SQLite's own handle has, and so has Waybill's `tx` there. */
export interface Sql {
  exec(sql: string): void
  prepare(sql: string): { run(...values: (string | number)[]): { readonly changes: number | bigint } }
}

/** A statement and the values of its question marks. */
export interface Statement {
  readonly sql: string
  readonly values: readonly (string | number)[]
}

export interface EffectRow {
  readonly orderId: string
  readonly group: string
  readonly messageId: string
  readonly incarnation: number
  readonly publishedAtMs: number
}

export const ordersTable: Statement = {
  sql: `create table if not exists orders (
    id varchar(255) primary key, user_id varchar(255) not null, amount double precision not null, paid_at_ms bigint not null)`,
  values: [],
}

// No unique key on purpose: it would hide the second effect that the witness looks for.
export const effectsTable: Statement = {
  sql: `create table if not exists effects (
    order_id varchar(255) not null, grp varchar(255) not null, message_id varchar(255) not null, incarnation integer not null,
    at_ms bigint not null, published_at_ms bigint not null)`,
  values: [],
}

export function orderRow({ orderId, userId, amount }: PaymentCallback): Statement {
  return {
    sql: 'insert into orders (id, user_id, amount, paid_at_ms) values (?, ?, ?, ?)',
    values: [orderId, userId, amount, Date.now()],
  }
}

/** The red packet, the coupon, the parcel: whatever the service does in its own database, it is one such row. */
export function effectRow({ orderId, group, messageId, incarnation, publishedAtMs }: EffectRow): Statement {
  return {
    sql: 'insert into effects (order_id, grp, message_id, incarnation, at_ms, published_at_ms) values (?, ?, ?, ?, ?, ?)',
    values: [orderId, group, messageId, incarnation, Date.now(), publishedAtMs],
  }
}

/** On SQLite. Answers how many rows changed. */
export function run(sql: Sql, statement: Statement): number {
  return Number(sql.prepare(statement.sql).run(...statement.values).changes)
}

export function createOrdersTable(sql: Sql): void {
  run(sql, ordersTable)
}

export function createEffectsTable(sql: Sql): void {
  run(sql, effectsTable)
}

/** False when the order was there already: the callback is a repeated one. */
export function insertOrder(sql: Sql, callback: PaymentCallback): boolean {
  const { sql: insert, values } = orderRow(callback)
  return run(sql, { sql: `${insert} on conflict do nothing`, values }) === 1
}

export function insertEffect(sql: Sql, effect: EffectRow): void {
  run(sql, effectRow(effect))
}

/** As durable as Waybill's connections, so that the two sides differ in the protocol and not in the disk settings. */
export function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 5000 })
  database.exec('pragma journal_mode = wal; pragma synchronous = full')
  return database
}
