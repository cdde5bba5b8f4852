import type { MessageId } from '../../core/ids.ts'
import type { AuditNote } from '../../core/store.ts'
import type { SqlConnection } from './connection.ts'

/** What an act of an operator was about. */
export interface Audited {
  readonly group?: string
  readonly id?: MessageId
  readonly redrive?: string
}

export async function audit(
  connection: SqlConnection,
  action: string,
  { group, id, redrive }: Audited,
  note: AuditNote,
): Promise<void> {
  await connection.run(
    'insert into waybill_audit (at, actor, because, action, grp, message_id, redrive_id) values (waybill_now(), ?, ?, ?, ?, ?, ?)',
    note.by,
    note.because,
    action,
    group ?? null,
    id ?? null,
    redrive ?? null,
  )
}
