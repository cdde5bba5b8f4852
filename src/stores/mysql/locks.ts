import { fnv1a32 } from '../../core/queue.ts'
import type { SqlConnection } from '../sql/connection.ts'
import { type Sql, sql } from '../sql/sql.ts'

/**
 * What takes turns: rows that are there from the start, locked until the transaction ends. Not `get_lock`, which belongs to the session
 * and survives the transaction, and no rows of their own for each name, which somebody would have to clear away. Two names may share a
 * row, and then wait for one another in vain; kinds never do.
 */
const kinds = {
  members: { first: 0, count: 64 },
  group: { first: 64, count: 64 },
  checks: { first: 128, count: 16 },
  due: { first: 144, count: 48 },
  purge: { first: 192, count: 64 },
  key: { first: 256, count: 1024 },
} as const

export const locksCount = 256 + 1024

export function lockOf(kind: keyof typeof kinds, name: string): number {
  const { first, count } = kinds[kind]
  return first + (fnv1a32(name) % count)
}

/** Takes all of them in one order, so that two who take several do not dead-lock. */
export async function takeLocks(connection: SqlConnection, locks: readonly number[]): Promise<void> {
  // One by one: an IN over a list may be read in the order of the list.
  for (const lock of [...new Set(locks)].sort((a, b) => a - b)) {
    const { text, params } = takeLock(lock)
    await connection.all(text, ...params)
  }
}

export function takeLock(lock: number): Sql {
  return sql`select n from waybill_locks where n = ${lock} for update`
}
