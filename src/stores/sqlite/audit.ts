import type { AuditNote } from '../../core/store.ts'
import type { Audited } from '../sql/audit.ts'
import type { SqliteConnection } from './driver.ts'

export function audit(
  connection: SqliteConnection,
  action: string,
  { group, id, redrive }: Audited,
  note: AuditNote,
  now: number,
): void {
  connection.run(
    'insert into waybill_audit (at, actor, because, action, grp, message_id, redrive_id) values (?, ?, ?, ?, ?, ?, ?)',
    now,
    note.by,
    note.because,
    action,
    group ?? null,
    id ?? null,
    redrive ?? null,
  )
}
