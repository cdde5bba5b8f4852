import type { PgConnection } from './connection.ts'
import { meta } from './migrate.ts'

const name = 'kept_since'

/** What was published before this may have been dropped; null where nothing ever was (P31). */
export async function keptSince(connection: PgConnection): Promise<number | null> {
  const value = await meta(connection, name)
  return value === undefined ? null : Number(value)
}

/** In the transaction that drops what was published before this, or a reader between the two would take it for lost. */
export async function recordKeptSince(connection: PgConnection, before: number): Promise<void> {
  await connection.run(
    `insert into waybill_meta (name, value) values (?, ?) on conflict (name) do update set value = excluded.value
     where waybill_meta.value::bigint < excluded.value::bigint`,
    name,
    String(before),
  )
}
