import type { MessageId } from '../../core/ids.ts'
import type { Lease, QueueLag, ReadMessage, RelayedBatch } from '../../core/store.ts'
import type { SqlValue, SqliteConnection } from './driver.ts'
import type { GroupOrder } from '../sql/group-rules.ts'
import { fenceHolds, fenceParams, leaseLost } from './leases.ts'
import { readColumns, toRead } from './rows.ts'

const range = 'm.topic = ? and m.queue = ? and m.pos > ? order by m.pos limit ?'

// Rowid order is commit order: SQLite's writers are serial, so a range read can skip nothing (P11).
const readPlain = `select ${readColumns} from waybill_messages m where ${range}`
const readWithState = `select ${readColumns}, d.state from waybill_messages m left join waybill_dispositions d on d.grp = ? and d.message_id = m.id where ${range}`

/** True where an earlier message of the key is in the way. Bind the group. */
export function blockedBy(order: GroupOrder, message: string): string {
  const states =
    order.onFailure === 'skip' ? "'retrying', 'running', 'held'" : "'retrying', 'running', 'held', 'dead'"
  return `exists (select 1 from waybill_dispositions b where b.grp = ? and b.topic = ${message}.topic and b.sharding_key = ${message}.sharding_key
    and b.state in (${states}) and b.state in ('retrying', 'running', 'held', 'dead') and b.pos < ${message}.pos)`
}

export function read(
  connection: SqliteConnection,
  lease: Lease,
  after: number,
  limit: number,
  order: GroupOrder,
): readonly ReadMessage[] {
  const { reader, topic, queue } = lease
  const toMessage = (row: readonly SqlValue[]): ReadMessage => toRead(row, lease)
  if (reader.startsWith('@land'))
    return connection.lists(readPlain, topic, queue, after, limit).map(toMessage)
  if (!order.ordered)
    return connection.lists(readWithState, reader, topic, queue, after, limit).map(toMessage)
  const sql = `select ${readColumns}, d.state, m.sharding_key is not null and ${blockedBy(order, 'm')} as blocked
    from waybill_messages m left join waybill_dispositions d on d.grp = ? and d.message_id = m.id where ${range}`
  return connection.lists(sql, reader, reader, topic, queue, after, limit).map(toMessage)
}

export function peek(
  connection: SqliteConnection,
  lease: Lease,
  after: number,
): { position: number; id: MessageId } | undefined {
  const row = connection.all(
    'select pos, id from waybill_messages where topic = ? and queue = ? and pos > ? order by pos limit 1',
    lease.topic,
    lease.queue,
    after,
  )[0]
  return row && { position: row['pos'] as number, id: row['id'] as MessageId }
}

export function advance(
  connection: SqliteConnection,
  lease: Lease,
  position: number,
  relayed: RelayedBatch | undefined,
  now: number,
): void {
  const changed = connection.run(
    `update waybill_cursors set pos = max(pos, ?) where reader = ? and topic = ? and queue = ? and ${fenceHolds}`,
    position,
    lease.reader,
    lease.topic,
    lease.queue,
    ...fenceParams(lease),
  )
  if (changed === 0) throw leaseLost(lease)
  if (!relayed) return
  connection.run(
    'insert into waybill_relay_batches (topic, queue, from_pos, to_pos, count, transport, proof, at) values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set to_pos = excluded.to_pos, count = excluded.count, transport = excluded.transport, proof = excluded.proof, at = excluded.at',
    lease.topic,
    lease.queue,
    relayed.from,
    position,
    relayed.count,
    relayed.transport,
    relayed.proof,
    now,
  )
}

export function lag(connection: SqliteConnection): readonly QueueLag[] {
  return connection
    .all(
      `select c.reader, c.topic, c.queue, c.pos, l.owner,
        (select coalesce(max(m.pos), 0) from waybill_messages m where m.topic = c.topic and m.queue = c.queue) as log_end,
        (select count(*) from waybill_messages m where m.topic = c.topic and m.queue = c.queue and m.pos > c.pos) as waiting
       from waybill_cursors c left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue
       order by c.reader, c.topic, c.queue`,
    )
    .map((row) => ({
      reader: row['reader'] as string,
      topic: row['topic'] as string,
      queue: row['queue'] as number,
      position: row['pos'] as number,
      end: row['log_end'] as number,
      waiting: row['waiting'] as number,
      owner: row['owner'] as string | null,
    }))
}
