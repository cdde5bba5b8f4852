import type { HalfState, StoredHalf } from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import { type HalfVerdict, checkSameDecision, stateAfter, toHalf } from '../sql/half-rows.ts'
import { endHalf, enterLog } from '../sql/halves.ts'
import type { MyConnection } from './connection.ts'
import { lockOf, takeLocks } from './locks.ts'
import { texts, unlocked, valuesOf } from './rows.ts'

/** How many that are being decided just now may stand before those that can be taken. */
const lockedMax = 100

/** The decision is written once, by compare-and-set; committing appends to the log in the same transaction (P23). */
export async function decideHalf(connection: MyConnection, verdict: HalfVerdict): Promise<void> {
  const { id, by, because } = verdict
  const state = stateAfter(verdict.decision)
  const [undecided] = await connection.all(
    "select service, topic, dedup_key from waybill_halves where id = ? and state in ('prepared', 'in-doubt') for update",
    id,
  )
  if (!undecided) return assertSameDecision(connection, id, state)
  await connection.run(
    `update waybill_halves set state = ?, check_at = null, decided_at = waybill_now(), decided_by = ?, because = ?,
       eligible_at = if(? = 'committed', greatest(eligible_at, waybill_now()), eligible_at) where id = ?`,
    state,
    by,
    because,
    state,
    id,
  )
  if (state === 'committed') return enterLog(connection, id, await isDelayed(connection, id))
  return endHalf(connection, verdict, undecided)
}

async function isDelayed(connection: MyConnection, id: MessageId): Promise<boolean> {
  const [row] = await connection.all(
    'select eligible_at > waybill_now() and eligible_at > published_at as is_delayed from waybill_halves where id = ?',
    id,
  )
  return row!['is_delayed'] === 1
}

async function assertSameDecision(connection: MyConnection, id: MessageId, state: HalfState): Promise<void> {
  const [row] = await connection.all(
    // Of what is there now, whatever moment the user's transaction looks at.
    'select state, decided_by, decided_at from waybill_halves where id = ? lock in share mode',
    id,
  )
  checkSameDecision(id, state, row)
}

export async function takeChecks(
  connection: MyConnection,
  service: string,
  topics: readonly string[],
  until: number,
  limit: number,
): Promise<readonly StoredHalf[]> {
  // Takers take turns, since a read that skips locked rows locks more than it answers. One that is being decided is left out.
  await takeLocks(connection, [lockOf('checks', service)])
  const candidates = await connection.all(
    `select pos from waybill_halves where service = ? and state = 'prepared' and check_at <= waybill_now() and topic in (${texts})
     order by check_at, pos limit ?`,
    service,
    JSON.stringify(topics),
    limit + lockedMax,
  )
  const free = await connection.all(
    `select h.* from ${unlocked(valuesOf('bigint'))} given straight_join waybill_halves h on h.pos = given.value
     where h.state = 'prepared' and h.check_at <= waybill_now() for update skip locked`,
    JSON.stringify(candidates.map((row) => row['pos'])),
  )
  const rows = free.toSorted((a, b) => a['check_at'] - b['check_at'] || a['pos'] - b['pos']).slice(0, limit)
  for (const row of rows)
    await connection.run('update waybill_halves set check_at = ? where pos = ?', until, row['pos'])
  return rows
    .map((row) => toHalf(row, connection.dialect.names))
    .toSorted((a, b) => a.publishedAt - b.publishedAt)
}
