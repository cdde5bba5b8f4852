import { dueReader } from '../../core/delayed.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Placed } from '../sql/facts.ts'
import type { PgConnection } from './connection.ts'
import type { PgRow } from './driver.ts'
import { whenTaken } from './taken.ts'

const columns =
  'd.state, d.attempts, d.generation, d.due_at, d.cause, d.because, d.dependency, d.at, d.topic, d.sharding_key, d.pos'

const outcomes = `with m as materialized (
    select * from json_to_recordset((?::text)::json) as m(id text, topic text, queue integer, position bigint)
  )
  select m.id as message, c.reader as grp, c.pos < m.position as is_ahead, ${columns} from m
    join waybill_cursors c on c.topic = m.topic and c.queue = m.queue and c.reader not like '@land:%' and c.reader <> '${dueReader}'
    left join lateral (
      select state, attempts, generation, due_at, cause, because, dependency, at, topic, sharding_key, pos
        from waybill_dispositions where grp = c.reader and message_id = m.id
      union all select 'done', 0, 0, null, null, null, null, t.at, m.topic, null, m.position
        from (select ${whenTaken('c.reader', 'm', 'm.position')} as at offset 0) t
        where t.at is not null and not exists (select 1 from waybill_dispositions where grp = c.reader and message_id = m.id)
    ) d on true
  union all
  select m.id, d.grp, false, ${columns} from m
    cross join lateral (select * from waybill_dispositions where message_id = m.id and state <> 'done' offset 0) d
    where not exists (select 1 from waybill_cursors c where c.reader = d.grp and c.topic = m.topic and c.queue = m.queue)
  order by grp`

/**
 * Of every reader of a message's queue, and whoever else has a disposition of it: that, or nothing, and whether the message is ahead
 * of its cursor. By message, in the order of groups.
 */
export async function outcomesOf(
  connection: PgConnection,
  messages: readonly Placed[],
): Promise<ReadonlyMap<MessageId, readonly PgRow[]>> {
  if (messages.length === 0) return new Map()
  const asked = messages.map(({ id, topic, queue, position }) => ({ id, topic, queue, position }))
  const rows = await connection.all(outcomes, JSON.stringify(asked))
  return Map.groupBy(rows, (row) => row['message'] as MessageId)
}
