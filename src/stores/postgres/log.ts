import type { MessageId } from '../../core/ids.ts'
import { withMore } from '../../core/message.ts'
import type { Lease, QueueLag, QueueName, ReadMessage, RelayedBatch } from '../../core/store.ts'
import type { PgConnection } from './connection.ts'
import type { PgRow, PgValue } from './driver.ts'
import type { GroupOrder } from '../sql/group-rules.ts'
import { fenceHolds, fenceParams, leaseLost } from './leases.ts'
import { messageColumns, toLogged } from './rows.ts'
import { atPlaces, rangeOf } from './places.ts'
import type { Sequencing } from './sequencing.ts'
import { takenWithin } from './taken.ts'

// Topic and queue are the lease's: a column less is a third of a microsecond less for each message, and so is NULL for what nearly
// always equals another.
const fields = messageColumns
  .split(', ')
  .filter((column) => column !== 'topic' && column !== 'queue')
  .map((column) =>
    column === 'eligible_at' ? 'nullif(m.eligible_at, m.published_at) as eligible_at' : `m.${column}`,
  )
  .join(', ')

/** True where an earlier message of the key is in the way. Bind the group. `message` has topic, sharding_key and seq. */
export function blockedBy(order: GroupOrder, message: string): string {
  const states =
    order.onFailure === 'skip' ? "'retrying', 'running', 'held'" : "'retrying', 'running', 'held', 'dead'"
  return `exists (select 1 from waybill_dispositions b where b.grp = ? and b.topic = ${message}.topic and b.sharding_key = ${message}.sharding_key
    and b.state in (${states}) and b.pos < ${message}.seq)`
}

/** With so many reads left, the next portion is there before they are done. */
const readsAhead = 2

export async function read(
  connection: PgConnection,
  sequencing: Sequencing,
  lease: Lease,
  after: number,
  limit: number,
  order: GroupOrder,
): Promise<readonly ReadMessage[]> {
  const known = sequencing.endOf(lease)
  const isAtEnd = after >= known
  const portion = isAtEnd ? await sequencing.portion() : undefined
  if (after >= sequencing.endOf(lease)) return []
  if (portion && isGroup(lease) && !order.ordered) {
    const told = portion.told.rowsOf(lease, after, sequencing.endOf(lease))
    if (told) return told.slice(0, limit).map((row) => toRead(row, lease))
  }
  if (sequencing.endOf(lease) - after < readsAhead * limit) sequencing.ahead()
  let found = await readSequenced(connection, lease, after, limit, order)
  // Of a backlog the next portion is on its way, for the next read.
  const isEnough = found.length === limit || (found.length > 0 && sequencing.isBehind)
  if (!isAtEnd && !isEnough) {
    // There may be more that no window holds yet, or that somebody else has just put into sequence.
    await sequencing.portion()
    if (sequencing.endOf(lease) !== known) found = await readSequenced(connection, lease, after, limit, order)
  }
  if (found.length > 0) return found.map((row) => toRead(row, lease))
  const next = await nextPlace(connection, lease, after)
  if (next === undefined) return []
  const beyond = await readSequenced(connection, lease, next - 1, limit, order)
  return beyond.map((row) => toRead(row, lease))
}

async function readSequenced(
  connection: PgConnection,
  lease: Lease,
  after: number,
  limit: number,
  order: GroupOrder,
): Promise<readonly PgRow[]> {
  const { reader } = lease
  const range = rangeOf(lease, after, after + limit)
  if (reader.startsWith('@land')) {
    const sql = `select x.seq as pos, ${fields}, ${fenceHolds} as is_held from ${atPlaces}`
    return inOrder(checkHeld(lease, await connection.all(sql, ...fenceParams(lease), ...range)))
  }
  const blocked = order.ordered ? `, m.sharding_key is not null and ${blockedBy(order, 'y')} as blocked` : ''
  const inGroup = isGroup(lease)
  const sql = `${inGroup ? `with taken as materialized (${takenWithin})` : ''}
    select x.seq as pos, ${fields}, ${inGroup ? stateInGroup : stateOfCarrier} as state${blocked}${inGroup ? '' : `, ${fenceHolds} as is_held`}
    from ${atPlaces} cross join lateral (select m.topic, m.sharding_key, x.seq) y`
  const taken = inGroup ? [after, limit + 1, reader, lease.topic, lease.queue] : []
  const asked = [reader, reader, ...(order.ordered ? [reader] : [])]
  const fence = inGroup ? [] : fenceParams(lease)
  const rows = await connection.all(sql, ...taken, ...asked, ...fence, ...range)
  return inOrder(inGroup ? rows : checkHeld(lease, rows))
}

function isGroup({ reader }: Lease): boolean {
  return !reader.startsWith('@')
}

/** They nearly always come in order. The server, which cannot know it, would copy all bodies to sort them. */
function inOrder(rows: readonly PgRow[]): readonly PgRow[] {
  return rows.toSorted((a, b) => a['pos'] - b['pos'])
}

/** As a join the planner would read all of the group's dispositions for each message. */
const disposition = '(select d.state from waybill_dispositions d where d.grp = ? and d.message_id = m.id)'

/** Only what the carrier refused has any. */
const stateOfCarrier = `case when exists (select 1 from waybill_dispositions where grp = ?) then ${disposition} end`

/** Only what comes from elsewhere can have come before, and have a disposition though nobody took its place. */
const stateInGroup = `case when exists (select 1 from taken where x.seq between seq_from and seq_to) then coalesce(${disposition}, 'done')
    when m.source is not null then ${disposition} end`

/**
 * A carrier passes on what it reads before it writes anything here, so it must hear while it reads that its position is of a state
 * that is gone (P12). Claims of a group ask by themselves.
 */
function checkHeld(lease: Lease, rows: readonly PgRow[]): readonly PgRow[] {
  if (rows[0] && !rows[0]['is_held']) throw leaseLost(lease)
  return rows
}

/** The next place that still has a message: a purge leaves empty ones, which a group that begins at the oldest must not stop at. */
async function nextPlace(
  connection: PgConnection,
  { topic, queue }: Lease,
  after: number,
): Promise<number | undefined> {
  const [row] = await connection.all(
    `select r.seq_from + p.ord - 1 as seq from waybill_runs r, unnest(r.positions) with ordinality p(pos, ord)
     where r.topic = ? and r.queue = ? and r.seq_to > ? and r.seq_from + p.ord - 1 > ?
       and exists (select 1 from waybill_messages m where m.pos = p.pos)
     order by r.seq_to, p.ord limit 1`,
    topic,
    queue,
    after,
    after,
  )
  return row?.['seq'] as number | undefined
}

function toRead(row: PgRow, queue: QueueName): ReadMessage {
  row['eligible_at'] ??= row['published_at']
  return withMore(toLogged(row, queue), {
    disposition: row['state'] ?? null,
    blocked: row['blocked'] === true,
  })
}

export async function peek(
  connection: PgConnection,
  sequencing: Sequencing,
  lease: Lease,
  after: number,
): Promise<{ position: number; id: MessageId } | undefined> {
  let position = await nextPlace(connection, lease, after)
  if (position === undefined) {
    await sequencing.portion()
    position = await nextPlace(connection, lease, after)
  }
  if (position === undefined) return undefined
  const [row] = await connection.all(
    `select m.id from ${atPlaces}`,
    ...rangeOf(lease, position - 1, position),
  )
  return row && { position, id: row['id'] as MessageId }
}

export async function advance(connection: PgConnection, lease: Lease, position: number): Promise<void> {
  const changed = await connection.run(moveCursor, ...moved(lease, position))
  if (changed === 0) throw leaseLost(lease)
}

const moveCursor = `update waybill_cursors set pos = greatest(pos, ?) where reader = ? and topic = ? and queue = ? and ${fenceHolds}`

function moved(lease: Lease, position: number): readonly PgValue[] {
  return [position, lease.reader, lease.topic, lease.queue, ...fenceParams(lease)]
}

/** One statement, and so a transaction of its own. */
export async function advanceRelayed(
  connection: PgConnection,
  lease: Lease,
  position: number,
  relayed: RelayedBatch,
): Promise<void> {
  const recorded = await connection.run(
    `with moved as (${moveCursor} returning topic, queue)
     insert into waybill_relay_batches (topic, queue, from_pos, to_pos, count, transport, proof, at)
     select topic, queue, ?::bigint, ?::bigint, ?::integer, ?, ?, waybill_now() from moved
     on conflict (topic, queue, from_pos) do update set to_pos = excluded.to_pos, count = excluded.count, transport = excluded.transport, proof = excluded.proof, at = excluded.at`,
    ...moved(lease, position),
    relayed.from,
    position,
    relayed.count,
    relayed.transport,
    relayed.proof,
  )
  if (recorded === 0) throw leaseLost(lease)
}

export async function lag(connection: PgConnection, sequencing: Sequencing): Promise<readonly QueueLag[]> {
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
