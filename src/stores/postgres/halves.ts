import type { HalfState, StoredHalf } from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import { type HalfVerdict, checkSameDecision, stateAfter, toHalf } from '../sql/half-rows.ts'
import { endHalf, enterLog } from '../sql/halves.ts'
import type { PgConnection } from './connection.ts'
import { texts } from './rows.ts'

/** The decision is written once, by compare-and-set; committing appends to the log in the same transaction (P23). */
export async function decideHalf(connection: PgConnection, verdict: HalfVerdict): Promise<void> {
  const { id, by, because } = verdict
  const state = stateAfter(verdict.decision)
  const [decided] = await connection.all(
    `update waybill_halves set state = ?, check_at = null, decided_at = waybill_now(), decided_by = ?, because = ?,
       eligible_at = case when ? = 'committed' then greatest(eligible_at, waybill_now()) else eligible_at end
     where id = ? and state in ('prepared', 'in-doubt')
     returning service, topic, dedup_key, eligible_at > waybill_now() and eligible_at > published_at as is_delayed`,
    state,
    by,
    because,
    state,
    id,
  )
  if (!decided) return assertSameDecision(connection, id, state)
  if (state === 'committed') return enterLog(connection, id, decided['is_delayed'])
  return endHalf(connection, verdict, decided)
}

async function assertSameDecision(connection: PgConnection, id: MessageId, state: HalfState): Promise<void> {
  const [row] = await connection.all(
    'select state, decided_by, decided_at from waybill_halves where id = ?',
    id,
  )
  checkSameDecision(id, state, row)
}

export async function takeChecks(
  connection: PgConnection,
  service: string,
  topics: readonly string[],
  until: number,
  limit: number,
): Promise<readonly StoredHalf[]> {
  const rows = await connection.all(
    `update waybill_halves h set check_at = ? from (
       select pos from waybill_halves where service = ? and state = 'prepared' and check_at <= waybill_now() and topic in (${texts})
       order by check_at, pos limit ? for update skip locked
     ) due where h.pos = due.pos returning h.*`,
    until,
    service,
    JSON.stringify(topics),
    limit,
  )
  return rows
    .map((row) => toHalf(row, connection.dialect.names))
    .toSorted((a, b) => a.publishedAt - b.publishedAt)
}
