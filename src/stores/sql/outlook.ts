import { dueReader } from '../../core/delayed.ts'
import type { Outlook } from '../../core/store.ts'
import type { SqlRow } from './sql.ts'

/** Bind an owner. One look into an index for each queue that it holds. */
export const outlookText = `select l.reader, l.topic, l.queue,
    case l.reader when '${dueReader}' then (select min(w.eligible_at) from waybill_delayed w where w.topic = l.topic and w.queue = l.queue)
      else (select min(d.due_at) from waybill_dispositions d
        where d.grp = l.reader and d.topic = l.topic and d.queue = l.queue and d.state in ('retrying', 'running') and d.due_at is not null) end as due_at,
    exists (select 1 from waybill_pauses p where p.grp = l.reader) as is_paused
  from waybill_leases l where l.owner = ?`

export function outlookOf(row: SqlRow): Outlook {
  return {
    reader: row['reader'],
    topic: row['topic'],
    queue: row['queue'],
    dueAt: row['due_at'] ?? undefined,
    isPaused: Boolean(row['is_paused']),
  }
}
