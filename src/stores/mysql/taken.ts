import { dueReader } from '../../core/delayed.ts'
import type { LoggedMessage } from '../../core/message.ts'
import type { Lease } from '../../core/store.ts'
import type { SqlConnection } from '../sql/connection.ts'
import { type Sql, sql } from '../sql/sql.ts'

/**
 * Which places of its queues a group has taken from the log, a narrow row for each (P3). A place is taken once, whoever tries at the
 * same time: the key sees to it, and waits for a claim that is not committed yet. What became of a message that was taken says its
 * disposition; it is *done* where it has none.
 *
 * A place tells only of what the log still holds: what is dropped from it leaves dispositions behind, which are found by id. So it is
 * taken only for a message that the log has there now. Whoever remembers another, of a state of the database that is gone, takes nothing:
 * the next message that gets the place would pass for done.
 *
 * Not ranges, as on PostgreSQL: no constraint here keeps two of them from overlapping.
 */

/** Joins `l`, the reader's lane, with the messages `m` of its queue and, where the place is taken, `t`. Bind reader, topic and queue; more conditions may follow. */
export const inLane = `waybill_leases l straight_join waybill_messages m force index (by_sequence) on m.topic = l.topic and m.queue = l.queue
    left join waybill_taken t on t.lane = l.lane and t.seq = m.seq
  where l.reader = ? and l.topic = ? and l.queue = ?`

/** Of the rows that `inLane` joins: the state of the message in the group; null if the group has done nothing about it. */
export const stateInLane = `coalesce(
    (select d.state from waybill_dispositions d where d.grp = l.reader and d.message_id = m.id), if(t.seq is null, null, 'done'))`

/** The state of a message `m` of the log in a group; null if the group has done nothing about it. */
export function stateOf(group: string): Sql {
  return sql`coalesce(
    (select d.state from waybill_dispositions d where d.grp = ${group} and d.message_id = m.id),
    (select 'done' from waybill_leases l straight_join waybill_taken t on t.lane = l.lane and t.seq = m.seq
     where l.reader = ${group} and l.topic = m.topic and l.queue = m.queue))`
}

/** Takes a place for what is about to get a disposition; answers false if it was taken before, or the log has not this message there. Carriers take none. */
export async function takeOne(
  connection: SqlConnection,
  { reader, topic, queue }: Pick<Lease, 'reader' | 'topic' | 'queue'>,
  { id, position }: Pick<LoggedMessage, 'id' | 'position'>,
): Promise<boolean> {
  const inserted = await connection.run(
    `insert ignore into waybill_taken (lane, seq, token, at)
     select l.lane, m.seq, 0, waybill_now() from waybill_leases l straight_join waybill_messages m on m.topic = l.topic and m.queue = l.queue
     where l.reader = ? and l.topic = ? and l.queue = ? and l.reader not like '@%' and m.id = ? and m.seq = ?`,
    reader,
    topic,
    queue,
    id,
    position,
  )
  return inserted > 0
}

/**
 * How far a queue's places are taken or passed by anybody, whatever its end says: bind topic and queue. Places above may be given. Where
 * tables are of different moments, as in a careless dump, the end may be older than its messages and than what was done with them.
 */
export const usedPlaces = `(select coalesce(max(greatest(
      coalesce((select t.seq from waybill_taken t where t.lane = l.lane order by t.seq desc limit 1), 0),
      coalesce((select c.pos from waybill_cursors c where c.reader = l.reader and c.topic = l.topic and c.queue = l.queue), 0))), 0)
    from waybill_leases l where l.topic = ? and l.queue = ? and l.reader <> '${dueReader}')`
