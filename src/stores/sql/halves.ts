import type { HalfFilter, HalfStore, StoredHalf } from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import type { PublishedEnvelope } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { TopicDeclaration } from '../../core/store.ts'
import type { SqlConnection } from './connection.ts'
import { type HalfVerdict, toHalf, whereOfHalves } from './half-rows.ts'
import { limitOf } from './limit.ts'
import { messageColumnsOf, placeholdersFor, toParams } from './rows.ts'
import type { SqlRow } from './sql.ts'

/** `takeKeys`: gives a free dedup key to its message. Answers who holds it now. */
export async function prepareHalf<C extends SqlConnection>(
  connection: C,
  takeKeys: (
    connection: C,
    messages: readonly PublishedEnvelope[],
  ) => Promise<ReadonlyMap<string, MessageId>>,
  message: PublishedEnvelope,
  topic: TopicDeclaration,
  checkAt: number,
): ReturnType<HalfStore<never>['prepare']> {
  const holder = [...(await takeKeys(connection, [message])).values()][0] ?? message.id
  if (holder !== message.id) {
    const undecided = await connection.all(
      "select 1 from waybill_halves where id = ? and state in ('prepared', 'in-doubt')",
      holder,
    )
    return { id: holder, duplicate: true, pending: undecided.length > 0 }
  }
  const columns = messageColumnsOf(connection.dialect.names)
  await connection.run(
    `insert into waybill_halves (${columns}, dedup_key, state, check_at) values (${placeholdersFor(columns)}, ?, 'prepared', ?)`,
    ...toParams(message, queueOf(message, topic.queues), null, connection.dialect.names),
    message.dedupKey,
    checkAt,
  )
  return { id: message.id, duplicate: false, pending: true }
}

export async function postponeCheck(
  connection: SqlConnection,
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

export async function recordUnknown(
  connection: SqlConnection,
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

export async function doubtHalf(connection: SqlConnection, id: MessageId, because: string): Promise<void> {
  await connection.run(
    "update waybill_halves set state = 'in-doubt', check_at = null, because = ? where id = ? and state = 'prepared'",
    because,
    id,
  )
}

export async function nextCheck(
  connection: SqlConnection,
  service: string,
  topics: readonly string[],
): Promise<{ readonly at: number | undefined; readonly now: number }> {
  const [row] = await connection.all(
    `select min(check_at) as at, waybill_now() as now from waybill_halves where service = ? and state = 'prepared' and topic in (${connection.dialect.texts})`,
    service,
    JSON.stringify(topics),
  )
  return { at: (row!['at'] as number | null) ?? undefined, now: row!['now'] }
}

export async function listHalves(
  connection: SqlConnection,
  filter: HalfFilter,
): Promise<readonly StoredHalf[]> {
  const { names, texts } = connection.dialect
  const { clause, params } = whereOfHalves(filter, names, texts)
  const rows = await connection.all(
    `select * from waybill_halves ${clause} order by published_at, pos limit ?`,
    ...params,
    limitOf(filter),
  )
  return rows.map((row) => toHalf(row, names))
}

/** What was committed. A half that is also delayed waits for its time; it orders at its due or decision time (P18). */
export async function enterLog(connection: SqlConnection, id: MessageId, isDelayed: boolean): Promise<void> {
  const table = isDelayed ? 'waybill_delayed' : 'waybill_messages'
  const columns = messageColumnsOf(connection.dialect.names)
  await connection.run(
    `insert into ${table} (${columns}) select ${columns} from waybill_halves where id = ?`,
    id,
  )
}

/** What was rolled back. Its dedup key is free again: the row tells it, with the service and the topic. */
export async function endHalf(connection: SqlConnection, verdict: HalfVerdict, row: SqlRow): Promise<void> {
  const { id, because, expired } = verdict
  const { key } = connection.dialect.names
  // Only while it is still this one's: a key that expired may have another holder by now.
  await connection.run(
    'delete from waybill_dedup_keys where service = ? and topic = ? and dedup_key = ? and message_id = ?',
    row['service'],
    row['topic'],
    row['dedup_key'],
    id,
  )
  await connection.run(
    `insert into waybill_ended (message_id, state, service, topic, tag, ${key}, sharding_key, published_at, at, because)
     select id, ?, service, topic, tag, ${key}, sharding_key, published_at, waybill_now(), ? from waybill_halves where id = ?`,
    expired ? 'expired' : 'rolled-back',
    because,
    id,
  )
}
