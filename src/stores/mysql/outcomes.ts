import { dueReader } from '../../core/delayed.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Placed } from '../sql/facts.ts'
import { readersIn } from '../sql/groups.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { rowsOf, valuesOf } from './rows.ts'

const columns =
  'd.attempts, d.generation, d.due_at, d.cause, d.because, d.dependency, d.topic, d.sharding_key, d.pos'

const asked = rowsOf('id varchar(255)', 'topic varchar(100)', 'queue integer', 'position bigint')
const ofReaders = `select m.id as message, c.reader as grp, c.pos < m.position as is_ahead,
    coalesce(d.state, if(t.seq is null, null, 'done')) as state, coalesce(d.at, t.at) as at, ${columns} from ${asked} m
  straight_join waybill_cursors c on c.topic = m.topic and c.queue = m.queue and c.reader not like '@land:%' and c.reader <> '${dueReader}'
  left join waybill_dispositions d on d.grp = c.reader and d.message_id = m.id
  left join waybill_leases l on l.reader = c.reader and l.topic = m.topic and l.queue = m.queue
  left join waybill_taken t on t.lane = l.lane and t.seq = m.position`
const ofOthers = `select m.id as message, d.grp, 0 as is_ahead, d.state, d.at, ${columns} from ${asked} m
  straight_join ${valuesOf('varchar(255)')} g straight_join waybill_dispositions d on d.grp = g.value and d.message_id = m.id
  where d.state <> 'done' and not exists (select 1 from waybill_cursors c where c.reader = d.grp and c.topic = m.topic and c.queue = m.queue)`

/**
 * Of every reader of a message's queue, and whoever else has a disposition of it: that, or nothing, and whether the message is ahead
 * of its cursor. By message, in the order of groups.
 */
export async function outcomesOf(
  connection: MyConnection,
  messages: readonly Placed[],
): Promise<ReadonlyMap<MessageId, readonly MyRow[]>> {
  if (messages.length === 0) return new Map()
  const list = JSON.stringify(messages.map(({ id, topic, queue, position }) => [id, topic, queue, position]))
  const rows = [
    ...(await connection.all(ofReaders, list)),
    ...(await connection.all(ofOthers, list, JSON.stringify(await readersIn(connection)))),
  ]
  return Map.groupBy(
    rows.toSorted((a, b) => (a['grp'] < b['grp'] ? -1 : 1)),
    (row) => row['message'] as MessageId,
  )
}
