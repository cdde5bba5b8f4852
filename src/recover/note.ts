import { WaybillError } from '../core/errors.ts'
import type { AuditNote } from '../core/store.ts'

/** @throws WaybillError `config.invalid` where it does not say who and why */
export function checkNote(note: AuditNote): void {
  if (
    typeof note?.by === 'string' &&
    note.by !== '' &&
    typeof note.because === 'string' &&
    note.because !== ''
  )
    return
  throw new WaybillError(
    'config.invalid',
    "say who does this and why: { by: 'name', because: 'reason' }; it is kept in the audit",
  )
}
