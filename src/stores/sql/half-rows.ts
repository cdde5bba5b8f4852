import { WaybillError } from '../../core/errors.ts'
import type { DecidedBy, Decision, HalfFilter, HalfState, StoredHalf } from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Names } from './dialect.ts'
import { toLogged } from './rows.ts'
import type { SqlRow } from './sql.ts'

export interface HalfVerdict {
  readonly id: MessageId
  readonly decision: Decision
  readonly by: DecidedBy
  readonly because: string | null
  readonly expired: boolean
}

export function stateAfter(decision: Decision): HalfState {
  return decision === 'commit' ? 'committed' : 'rolled-back'
}

/**
 * The same decision again is as good as the first.
 * @throws WaybillError `half.unknown`, `half.already-decided`
 */
export function checkSameDecision(id: MessageId, state: HalfState, row: SqlRow | undefined): void {
  if (!row) throw new WaybillError('half.unknown', `there is no half message ${id} in this database`, { id })
  if (row['state'] === state) return
  throw new WaybillError(
    'half.already-decided',
    `half message ${id} was ${String(row['state'])} by ${String(row['decided_by'])} before; a decision is final, so this transaction must not commit`,
    { id, winner: row['state'], by: row['decided_by'], at: row['decided_at'] },
  )
}

/** `texts`: a JSON list of texts, for `in`. */
export function whereOfHalves(
  filter: HalfFilter,
  names: Names,
  texts: string,
): { readonly clause: string; readonly params: readonly string[] } {
  const conditions = [
    [`state in (${texts})`, JSON.stringify(filter.states ?? ['prepared', 'in-doubt'])],
    ['id = ?', filter.id],
    [`${names.key} = ?`, filter.key],
    ['topic = ?', filter.topic],
  ] as const
  const where = conditions.filter(([, value]) => value !== undefined)
  return {
    clause: `where ${where.map(([condition]) => condition).join(' and ')}`,
    params: where.map(([, value]) => value!),
  }
}

export function toHalf(row: SqlRow, names: Names): StoredHalf {
  return {
    ...toLogged(row, names),
    state: row['state'],
    checks: row['checks'],
    failures: row['failures'],
    decidedAt: row['decided_at'],
    decidedBy: row['decided_by'],
    because: row['because'],
  }
}
