import type { Lease } from '../../core/store.ts'
import type { SqlConnection } from './connection.ts'

export async function nextDelayed(connection: SqlConnection, lease: Lease): Promise<number | undefined> {
  const [row] = await connection.all(
    'select min(eligible_at) as due from waybill_delayed where topic = ? and queue = ?',
    lease.topic,
    lease.queue,
  )
  return (row?.['due'] as number | null) ?? undefined
}
