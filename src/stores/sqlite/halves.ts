import type { HalfFilter, HalfState, HalfStore, StoredHalf } from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import type { PublishedEnvelope } from '../../core/message.ts'
import type { TopicDeclaration } from '../../core/store.ts'
import { queueOf } from '../../core/queue.ts'
import { plainNames } from '../sql/dialect.ts'
import { type HalfVerdict, checkSameDecision, stateAfter, toHalf, whereOfHalves } from '../sql/half-rows.ts'
import { limitOf } from '../sql/limit.ts'
import type { SqliteConnection } from './driver.ts'
import { takeDedupKeys } from './publishing.ts'
import { messageColumns, toParams } from './rows.ts'

export function prepareHalf(
  connection: SqliteConnection,
  message: PublishedEnvelope,
  topic: TopicDeclaration,
  checkAt: number,
  now: number,
): Awaited<ReturnType<HalfStore<never>['prepare']>> {
  const holder = [...takeDedupKeys(connection, [message], now).values()][0] ?? message.id
  if (holder !== message.id) {
    const pending =
      connection.all(
        "select 1 from waybill_halves where id = ? and state in ('prepared', 'in-doubt')",
        holder,
      ).length > 0
    return { id: holder, duplicate: true, pending }
  }
  connection.run(
    `insert into waybill_halves (${messageColumns}, dedup_key, state, check_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'prepared', ?)`,
    ...toParams(message, queueOf(message, topic.queues), null),
    message.dedupKey,
    checkAt,
  )
  return { id: message.id, duplicate: false, pending: true }
}

export function postponeCheck(connection: SqliteConnection, id: MessageId, checkAt: number): boolean {
  return (
    connection.run(
      "update waybill_halves set check_at = max(check_at, ?) where id = ? and state = 'prepared'",
      checkAt,
      id,
    ) > 0
  )
}

/** The decision is written once, by compare-and-set; committing appends to the log in the same transaction (P23). */
export function decideHalf(connection: SqliteConnection, verdict: HalfVerdict, now: number): void {
  const { id, by, because, expired } = verdict
  const state = stateAfter(verdict.decision)
  const changed = connection.run(
    "update waybill_halves set state = ?, check_at = null, decided_at = ?, decided_by = ?, because = ?, eligible_at = iif(? = 'committed', max(eligible_at, ?), eligible_at) where id = ? and state in ('prepared', 'in-doubt')",
    state,
    now,
    by,
    because,
    state,
    now,
    id,
  )
  if (changed === 0) return assertSameDecision(connection, id, state)
  // A half that is also delayed waits for its time; it orders at its due or decision time (P18). Not by the time alone: a clock
  // that went back since it was prepared would delay what nobody wanted delayed.
  const isDelayed =
    connection.all(
      'select 1 from waybill_halves where id = ? and eligible_at > ? and eligible_at > published_at',
      id,
      now,
    ).length > 0
  if (state === 'committed') {
    connection.run(
      `insert into ${isDelayed ? 'waybill_delayed' : 'waybill_messages'} (${messageColumns}) select ${messageColumns} from waybill_halves where id = ?`,
      id,
    )
    return
  }
  // Only while it is still this one's: a key that expired may have another holder by now.
  connection.run(
    'delete from waybill_dedup_keys where (service, topic, dedup_key) = (select service, topic, dedup_key from waybill_halves where id = ?) and message_id = ?',
    id,
    id,
  )
  connection.run(
    `insert into waybill_ended (message_id, state, service, topic, tag, key, sharding_key, published_at, at, because)
     select id, ?, service, topic, tag, key, sharding_key, published_at, ?, ? from waybill_halves where id = ?`,
    expired ? 'expired' : 'rolled-back',
    now,
    because,
    id,
  )
}

function assertSameDecision(connection: SqliteConnection, id: MessageId, state: HalfState): void {
  const row = connection.all('select state, decided_by, decided_at from waybill_halves where id = ?', id)[0]
  checkSameDecision(id, state, row)
}

export function takeChecks(
  connection: SqliteConnection,
  service: string,
  topics: readonly string[],
  until: number,
  limit: number,
  now: number,
): readonly StoredHalf[] {
  const rows = connection.all(
    `select * from waybill_halves where service = ? and state = 'prepared' and check_at <= ? and topic in (select value from json_each(?)) order by check_at, pos limit ?`,
    service,
    now,
    JSON.stringify(topics),
    limit,
  )
  for (const row of rows)
    connection.run('update waybill_halves set check_at = ? where pos = ?', until, row['pos']!)
  return rows.map((row) => toHalf(row, plainNames))
}

export function recordUnknown(
  connection: SqliteConnection,
  id: MessageId,
  answered: boolean,
  checkAt: number,
  because: string,
): void {
  const column = answered ? 'checks' : 'failures'
  connection.run(
    `update waybill_halves set ${column} = ${column} + 1, check_at = ?, because = ? where id = ? and state = 'prepared'`,
    checkAt,
    because,
    id,
  )
}

export function doubtHalf(connection: SqliteConnection, id: MessageId, because: string): void {
  connection.run(
    "update waybill_halves set state = 'in-doubt', check_at = null, because = ? where id = ? and state = 'prepared'",
    because,
    id,
  )
}

export function nextCheck(
  connection: SqliteConnection,
  service: string,
  topics: readonly string[],
): number | undefined {
  const row = connection.all(
    "select min(check_at) as at from waybill_halves where service = ? and state = 'prepared' and topic in (select value from json_each(?))",
    service,
    JSON.stringify(topics),
  )[0]
  return (row?.['at'] as number | null) ?? undefined
}

export function listHalves(connection: SqliteConnection, filter: HalfFilter): readonly StoredHalf[] {
  const { clause, params } = whereOfHalves(filter, plainNames, 'select value from json_each(?)')
  return connection
    .all(
      `select * from waybill_halves ${clause} order by published_at, pos limit ?`,
      ...params,
      limitOf(filter),
    )
    .map((row) => toHalf(row, plainNames))
}
