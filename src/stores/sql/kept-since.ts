import type { SqlConnection } from './connection.ts'

const name = 'kept_since'

/** What was published before this may have been dropped; null where nothing ever was (P31). */
export async function keptSince(connection: SqlConnection): Promise<number | null> {
  const [row] = await connection.all('select value from waybill_meta where name = ?', name)
  return row ? Number(row['value']) : null
}

/** In the transaction that drops what was published before this, or a reader between the two would take it for lost. */
export async function recordKeptSince(connection: SqlConnection, before: number): Promise<void> {
  const { insertNew } = connection.dialect
  await connection.run(insertNew('waybill_meta (name, value) values (?, ?)'), name, String(before))
  const [row] = await connection.all('select value from waybill_meta where name = ? for update', name)
  if (Number(row!['value']) < before)
    await connection.run('update waybill_meta set value = ? where name = ?', String(before), name)
}
