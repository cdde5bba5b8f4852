import type { MyConnection } from './connection.ts'
import { meta } from './migrate.ts'

const name = 'kept_since'

/** What was published before this may have been dropped; null where nothing ever was (P31). */
export async function keptSince(connection: MyConnection): Promise<number | null> {
  const value = await meta(connection, name)
  return value === undefined ? null : Number(value)
}

/** In the transaction that drops what was published before this, or a reader between the two would take it for lost. */
export async function recordKeptSince(connection: MyConnection, before: number): Promise<void> {
  await connection.run(
    'insert into waybill_meta (name, value) values (?, ?) on duplicate key update value = if(value + 0 < ?, values(value), value)',
    name,
    String(before),
    before,
  )
}
