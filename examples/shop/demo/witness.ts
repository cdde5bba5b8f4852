import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Effect } from '../ledger.ts'
import type { Row } from './server.ts'

export interface TimedEffect extends Effect {
  readonly atMs: number
  readonly publishedAtMs: number
}

/** SQLite answers at once, a server later. */
export type MaybePromise<T> = T | Promise<T>

/**
 * Reads the services' databases and never writes. It lives in the controller, which is never killed, and it knows
 * nothing of either side's protocol: it counts rows of business tables.
 */
export interface AnyWitness {
  /** What Waybill's tables call the key of a message there. */
  readonly keyColumn: 'key' | 'msg_key'
  committedCount(): MaybePromise<number>
  effectCount(group: string): MaybePromise<number>
  committed(): MaybePromise<Set<string>>
  effects(group: string): MaybePromise<TimedEffect[]>
  /** Empty when the table is not there: a service that never came up has written nothing. */
  rows(service: string, table: string, query: string): MaybePromise<readonly Row[]>
  close(): MaybePromise<void>
}

export const committedQuery = 'select id from orders'
export const effectsQuery = 'select order_id, at_ms, published_at_ms from effects'

export function effectOf(group: string, row: Row): TimedEffect {
  return {
    group,
    orderId: String(row['order_id']),
    atMs: Number(row['at_ms']),
    publishedAtMs: Number(row['published_at_ms']),
  }
}

/** Of SQLite files. */
export class Witness implements AnyWitness {
  readonly keyColumn = 'key'
  readonly #folder: string
  readonly #fileOf: (service: string) => string
  readonly #open = new Map<string, DatabaseSync>()

  /** @param fileOf where in the folder a service's database is */
  constructor(folder: string, fileOf = (service: string): string => `${service}.db`) {
    this.#folder = folder
    this.#fileOf = fileOf
  }

  /** Orders are only ever inserted, so the last row's number is their count. */
  committedCount(): number {
    return this.#lastRow('order', 'orders')
  }

  effectCount(group: string): number {
    return this.#lastRow(group, 'effects')
  }

  committed(): Set<string> {
    return new Set(this.rows('order', 'orders', committedQuery).map((row) => String(row['id'])))
  }

  effects(group: string): TimedEffect[] {
    return this.rows(group, 'effects', effectsQuery).map((row) => effectOf(group, row))
  }

  rows(service: string, table: string, query: string, ...values: string[]): Record<string, unknown>[] {
    const database = this.#database(service)
    const known = database?.prepare('select 1 from sqlite_schema where name = ?').get(table)
    if (database === undefined || known === undefined) return []
    return database.prepare(query).all(...values)
  }

  close(): void {
    for (const database of this.#open.values()) database.close()
    this.#open.clear()
  }

  #lastRow(service: string, table: string): number {
    const [row] = this.rows(service, table, `select max(rowid) as last from ${table}`)
    return Number(row?.['last'] ?? 0)
  }

  #database(service: string): DatabaseSync | undefined {
    const path = join(this.#folder, this.#fileOf(service))
    const known = this.#open.get(service)
    if (known !== undefined || !existsSync(path)) return known
    const database = new DatabaseSync(path, { readOnly: true, timeout: 5000 })
    this.#open.set(service, database)
    return database
  }
}
