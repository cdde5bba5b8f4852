import { WaybillError } from '../../core/errors.ts'
import type { DecidedBy, Decision, HalfFilter, HalfState, HalfStore, StoredHalf } from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import type { PublishedEnvelope } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { TopicDeclaration } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow, MyValue } from './driver.ts'
import { lockOf, takeLocks } from './locks.ts'
import { takeDedupKeys } from './publishing.ts'
import { messageColumns, messageParams, texts, toLogged, toParams, valuesOf } from './rows.ts'

const limitDefault = 100
const limitMax = 1_000
/** How many that are being decided just now may stand before those that can be taken. */
const lockedMax = 100

export async function prepareHalf(
  connection: MyConnection,
  message: PublishedEnvelope,
  topic: TopicDeclaration,
  checkAt: number,
): ReturnType<HalfStore<never>['prepare']> {
  const holder = [...(await takeDedupKeys(connection, [message])).values()][0] ?? message.id
  if (holder !== message.id) {
    const undecided = await connection.all(
      "select 1 from waybill_halves where id = ? and state in ('prepared', 'in-doubt')",
      holder,
    )
    return { id: holder, duplicate: true, pending: undecided.length > 0 }
  }
  await connection.run(
    `insert into waybill_halves (${messageColumns}, dedup_key, state, check_at) values (${messageParams}, ?, 'prepared', ?)`,
    ...toParams(message, queueOf(message, topic.queues), null),
    message.dedupKey,
    checkAt,
  )
  return { id: message.id, duplicate: false, pending: true }
}

export async function postponeCheck(
  connection: MyConnection,
  id: MessageId,
  checkAt: number,
): Promise<boolean> {
  const changed = await connection.run(
    "update waybill_halves set check_at = greatest(check_at, ?) where id = ? and state = 'prepared'",
    checkAt,
    id,
  )
  return changed > 0
}

export interface HalfVerdict {
  readonly id: MessageId
  readonly decision: Decision
  readonly by: DecidedBy
  readonly because: string | null
  readonly expired: boolean
}

/** The decision is written once, by compare-and-set; committing appends to the log in the same transaction (P23). */
export async function decideHalf(connection: MyConnection, verdict: HalfVerdict): Promise<void> {
  const { id, decision, by, because, expired } = verdict
  const state: HalfState = decision === 'commit' ? 'committed' : 'rolled-back'
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
  if (state === 'committed') return enterLog(connection, id)
  // Only while it is still this one's: a key that expired may have another holder by now.
  await connection.run(
    'delete from waybill_dedup_keys where service = ? and topic = ? and dedup_key = ? and message_id = ?',
    undecided['service'],
    undecided['topic'],
    undecided['dedup_key'],
    id,
  )
  await connection.run(
    `insert into waybill_ended (message_id, state, service, topic, tag, msg_key, sharding_key, published_at, at, because)
     select id, ?, service, topic, tag, msg_key, sharding_key, published_at, waybill_now(), ? from waybill_halves where id = ?`,
    expired ? 'expired' : 'rolled-back',
    because,
    id,
  )
}

/** A half that is also delayed waits for its time; it orders at its due or decision time (P18). */
async function enterLog(connection: MyConnection, id: MessageId): Promise<void> {
  const [row] = await connection.all(
    'select eligible_at > waybill_now() and eligible_at > published_at as is_delayed from waybill_halves where id = ?',
    id,
  )
  const table = row!['is_delayed'] === 1 ? 'waybill_delayed' : 'waybill_messages'
  await connection.run(
    `insert into ${table} (${messageColumns}) select ${messageColumns} from waybill_halves where id = ?`,
    id,
  )
}

async function assertSameDecision(connection: MyConnection, id: MessageId, state: HalfState): Promise<void> {
  const [row] = await connection.all(
    // Of what is there now, whatever moment the user's transaction looks at.
    'select state, decided_by, decided_at from waybill_halves where id = ? lock in share mode',
    id,
  )
  if (!row) throw new WaybillError('half.unknown', `there is no half message ${id} in this database`, { id })
  if (row['state'] === state) return
  throw new WaybillError(
    'half.already-decided',
    `half message ${id} was ${String(row['state'])} by ${String(row['decided_by'])} before; a decision is final, so this transaction must not commit`,
    { id, winner: row['state'], by: row['decided_by'], at: row['decided_at'] },
  )
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
    `select h.* from ${valuesOf('bigint')} given straight_join waybill_halves h on h.pos = given.value
     where h.state = 'prepared' and h.check_at <= waybill_now() for update skip locked`,
    JSON.stringify(candidates.map((row) => row['pos'])),
  )
  const rows = free.toSorted((a, b) => a['check_at'] - b['check_at'] || a['pos'] - b['pos']).slice(0, limit)
  for (const row of rows)
    await connection.run('update waybill_halves set check_at = ? where pos = ?', until, row['pos'])
  return rows.map(toHalf).toSorted((a, b) => a.publishedAt - b.publishedAt)
}

export async function recordUnknown(
  connection: MyConnection,
  id: MessageId,
  answered: boolean,
  checkAt: number,
  because: string,
): Promise<void> {
  const column = answered ? 'checks' : 'failures'
  await connection.run(
    `update waybill_halves set ${column} = ${column} + 1, check_at = ?, because = ? where id = ? and state = 'prepared'`,
    checkAt,
    because,
    id,
  )
}

export async function doubtHalf(connection: MyConnection, id: MessageId, because: string): Promise<void> {
  await connection.run(
    "update waybill_halves set state = 'in-doubt', check_at = null, because = ? where id = ? and state = 'prepared'",
    because,
    id,
  )
}

export async function nextCheck(
  connection: MyConnection,
  service: string,
  topics: readonly string[],
): Promise<{ readonly at: number | undefined; readonly now: number }> {
  const [row] = await connection.all(
    `select min(check_at) as at, waybill_now() as now from waybill_halves where service = ? and state = 'prepared' and topic in (${texts})`,
    service,
    JSON.stringify(topics),
  )
  return { at: (row!['at'] as number | null) ?? undefined, now: row!['now'] }
}

export async function listHalves(
  connection: MyConnection,
  filter: HalfFilter,
): Promise<readonly StoredHalf[]> {
  const where = [`state in (${texts})`]
  const params: MyValue[] = [JSON.stringify(filter.states ?? ['prepared', 'in-doubt'])]
  const add = (condition: string, value: MyValue | undefined): void => {
    if (value === undefined) return
    where.push(condition)
    params.push(value)
  }
  add('id = ?', filter.id)
  add('msg_key = ?', filter.key)
  add('topic = ?', filter.topic)
  const rows = await connection.all(
    `select * from waybill_halves where ${where.join(' and ')} order by published_at, pos limit ?`,
    ...params,
    Math.min(filter.limit ?? limitDefault, limitMax),
  )
  return rows.map(toHalf)
}

function toHalf(row: MyRow): StoredHalf {
  return {
    ...toLogged(row),
    state: row['state'],
    checks: row['checks'],
    failures: row['failures'],
    decidedAt: row['decided_at'],
    decidedBy: row['decided_by'],
    because: row['because'],
  }
}
