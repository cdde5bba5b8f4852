import type { SqliteConnection } from './driver.ts'
import { meta } from './migrate.ts'

const name = 'kept_since'

/** What was published before this may have been dropped; null where nothing ever was (P31). */
export function keptSince(connection: SqliteConnection): number | null {
  const value = meta(connection, name)
  return value === undefined ? null : Number(value)
}

/** In the transaction that drops what was published before this, or a reader between the two would take it for lost. */
export function recordKeptSince(connection: SqliteConnection, before: number): void {
  connection.run(
    'insert into waybill_meta (name, value) values (?, ?) on conflict (name) do update set value = excluded.value where cast(value as integer) < cast(excluded.value as integer)',
    name,
    String(before),
  )
}
