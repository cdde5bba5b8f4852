import type { MessageId } from '../../core/ids.ts'
import type { Lease, QueueLag, ReadMessage, RelayedBatch } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import type { GroupOrder } from '../sql/group-rules.ts'
import { fenceHolds, fenceParams, leaseLost } from './leases.ts'
import { messageColumns, toLogged } from './rows.ts'
import type { Sequencing } from './sequencing.ts'
import { inLane } from './taken.ts'

const fields = messageColumns
  .split(', ')
  .map((column) => `m.${column}`)
  .join(', ')

/** The place of a row of the log. What is not in sequence yet will come after all that is. */
export function placeOf(row: string): string {
  return `if(${row}.seq > 0, ${row}.seq, (select seq + 1 from waybill_ends where topic = ${row}.topic and queue = ${row}.queue))`
}

/** True where an earlier message of the key is in the way. Bind the group; the rest are expressions. */
export function blockedBy(order: GroupOrder, topic: string, shardingKey: string, position: string): string {
  const states =
    order.onFailure === 'skip' ? "'retrying', 'running', 'held'" : "'retrying', 'running', 'held', 'dead'"
  return `exists (select 1 from waybill_dispositions b where b.grp = ? and b.topic = ${topic} and b.sharding_key = ${shardingKey}
    and b.state in (${states}) and b.pos < ${position})`
}

export async function read(
  connection: MyConnection,
  sequencing: Sequencing,
  lease: Lease,
  after: number,
  limit: number,
  order: GroupOrder,
): Promise<readonly ReadMessage[]> {
  const messages = await readSequenced(connection, lease, after, limit, order)
  // Less than was asked for: there may be more that are not in sequence yet.
  if (messages.length === limit || (await sequencing.portion(lease)) === 0) return messages
  return readSequenced(connection, lease, after, limit, order)
}

async function readSequenced(
  connection: MyConnection,
  lease: Lease,
  after: number,
  limit: number,
  order: GroupOrder,
): Promise<readonly ReadMessage[]> {
  const { reader, topic, queue } = lease
  const inQueue = 'm.topic = ? and m.queue = ? and m.seq > ? order by m.seq limit ?'
  const isCarrier = reader.startsWith('@')
  const isHeld = isCarrier ? fenceHolds : '1'
  const fence = isCarrier ? fenceParams(lease) : []
  if (reader.startsWith('@land')) {
    const rows = await connection.all(
      `select m.seq as pos, ${fields}, null as state, 0 as blocked, ${isHeld} as is_held from waybill_messages m where ${inQueue}`,
      ...fence,
      topic,
      queue,
      after,
      limit,
    )
    return checkHeld(lease, rows).map(toRead)
  }
  const blocked = order.ordered
    ? `m.sharding_key is not null and ${blockedBy(order, 'm.topic', 'm.sharding_key', 'm.seq')}`
    : '0'
  const rows = await connection.all(
    `select m.seq as pos, ${fields}, ${isCarrier ? stateOfCarrier : stateInGroup} as state, ${blocked} as blocked, ${isHeld} as is_held
     from ${inLane} and m.seq > ? order by m.seq limit ?`,
    ...(order.ordered ? [reader] : []),
    ...fence,
    reader,
    topic,
    queue,
    after,
    limit,
  )
  return checkHeld(lease, rows).map(toRead)
}

const disposition =
  '(select d.state from waybill_dispositions d where d.grp = l.reader and d.message_id = m.id)'

/** Only what the carrier refused has any. */
const stateOfCarrier = `if(exists (select 1 from waybill_dispositions where grp = l.reader), ${disposition}, null)`

/** Only what comes from elsewhere can have come before, and have a disposition though nobody took its place. */
const stateInGroup = `if(t.seq is not null, coalesce(${disposition}, 'done'), if(m.source is not null, ${disposition}, null))`

/**
 * A carrier passes on what it reads before it writes anything here, so it must hear while it reads that its position is of a state
 * that is gone (P12). Claims of a group ask by themselves.
 */
function checkHeld(lease: Lease, rows: readonly MyRow[]): readonly MyRow[] {
  if (rows[0] && !rows[0]['is_held']) throw leaseLost(lease)
  return rows
}

function toRead(row: MyRow): ReadMessage {
  return { ...toLogged(row), disposition: row['state'], blocked: row['blocked'] === 1 }
}

export async function peek(
  connection: MyConnection,
  sequencing: Sequencing,
  lease: Lease,
  after: number,
): Promise<{ position: number; id: MessageId } | undefined> {
  const look = async (): Promise<MyRow | undefined> =>
    (
      await connection.all(
        'select seq, id from waybill_messages where topic = ? and queue = ? and seq > ? order by seq limit 1',
        lease.topic,
        lease.queue,
        after,
      )
    )[0]
  let row = await look()
  if (!row && (await sequencing.portion(lease)) > 0) row = await look()
  return row && { position: row['seq'], id: row['id'] as MessageId }
}

export async function advance(connection: MyConnection, lease: Lease, position: number): Promise<void> {
  const matched = await connection.run(
    `update waybill_cursors set pos = greatest(pos, ?) where reader = ? and topic = ? and queue = ? and ${fenceHolds}`,
    position,
    lease.reader,
    lease.topic,
    lease.queue,
    ...fenceParams(lease),
  )
  if (matched === 0) throw leaseLost(lease)
}

export async function advanceRelayed(
  connection: MyConnection,
  lease: Lease,
  position: number,
  relayed: RelayedBatch,
): Promise<void> {
  await advance(connection, lease, position)
  await connection.run(
    `insert into waybill_relay_batches (topic, queue, from_pos, to_pos, messages, transport, proof, at) values (?, ?, ?, ?, ?, ?, ?, waybill_now())
     on duplicate key update to_pos = values(to_pos), messages = values(messages), transport = values(transport), proof = values(proof), at = values(at)`,
    lease.topic,
    lease.queue,
    relayed.from,
    position,
    relayed.count,
    relayed.transport,
    relayed.proof,
  )
}

export async function lag(connection: MyConnection, sequencing: Sequencing): Promise<readonly QueueLag[]> {
  await sequencing.all()
  const rows = await connection.all(
    `select c.reader, c.topic, c.queue, c.pos, l.owner, coalesce(e.seq, 0) as log_end
     from waybill_cursors c left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue
     left join waybill_ends e on e.topic = c.topic and e.queue = c.queue
     order by c.reader, c.topic, c.queue`,
  )
  return rows.map((row) => ({
    reader: row['reader'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['pos'],
    end: row['log_end'],
    waiting: Math.max(0, row['log_end'] - row['pos']),
    owner: row['owner'],
  }))
}
