import type { MessageId } from '../../core/ids.ts'
import type { DelayedKey } from '../../core/delayed.ts'
import type { Lease } from '../../core/store.ts'
import type { SqliteConnection } from './driver.ts'
import { assertFence } from './leases.ts'
import { messageColumns } from './rows.ts'

/**
 * Moves what is due into the log, by (due, position): delete and insert in the one transaction that the caller opened, under the
 * lease, so that a due message enters the log once however many instances there are (P22).
 */
export function moveDue(connection: SqliteConnection, lease: Lease, now: number, limit: number): number {
  assertFence(connection, lease)
  const due =
    'select pos from waybill_delayed where topic = ? and queue = ? and eligible_at <= ? order by eligible_at, pos limit ?'
  const params = [lease.topic, lease.queue, now, limit] as const
  const moved = connection.run(
    `insert into waybill_messages (${messageColumns}) select ${messageColumns} from waybill_delayed where pos in (${due}) order by eligible_at, pos`,
    ...params,
  )
  if (moved > 0) connection.run(`delete from waybill_delayed where pos in (${due})`, ...params)
  return moved
}

export function nextDelayed(connection: SqliteConnection, lease: Lease): number | undefined {
  const row = connection.all(
    'select min(eligible_at) as due from waybill_delayed where topic = ? and queue = ?',
    lease.topic,
    lease.queue,
  )[0]
  return (row?.['due'] as number | null) ?? undefined
}

/** Answers the ids that were still waiting and are now cancelled: whoever is not among them was too late (P22). */
export function cancelDelayed(
  connection: SqliteConnection,
  which: DelayedKey,
  because: string,
  now: number,
): readonly MessageId[] {
  const [column, value] = 'id' in which ? (['id', which.id] as const) : (['key', which.key] as const)
  const rows = connection.all(
    `delete from waybill_delayed where service = ? and topic = ? and ${column} = ?
     returning id, service, topic, tag, key, sharding_key, published_at`,
    which.service,
    which.topic,
    value,
  )
  for (const row of rows) {
    connection.run(
      `insert into waybill_ended (message_id, state, service, topic, tag, key, sharding_key, published_at, at, because) values (?, 'cancelled', ?, ?, ?, ?, ?, ?, ?, ?)`,
      row['id']!,
      row['service']!,
      row['topic']!,
      row['tag'] ?? null,
      row['key'] ?? null,
      row['sharding_key'] ?? null,
      row['published_at']!,
      now,
      because,
    )
  }
  return rows.map((row) => row['id'] as MessageId)
}
