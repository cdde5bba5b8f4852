import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { PublishedEnvelope } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { Appended, TopicDeclaration } from '../../core/store.ts'
import type { PgConnection } from './connection.ts'
import { columnsOf } from './column-values.ts'
import { elements, messageColumns, messageParams, toParams } from './rows.ts'

const dedupWindowMs = 24 * 3_600_000

// In sorted order, or two publishers of the same keys dead-lock. An expired key is taken over; a live one answers its first
// holder: `do nothing` and a select could answer nothing at all (P27).
const takeKeys = `
insert into waybill_dedup_keys (service, topic, dedup_key, message_id, expires_at)
select distinct on (value ->> 0, value ->> 1, value ->> 2) value ->> 0, value ->> 1, value ->> 2, value ->> 3, waybill_now() + ${dedupWindowMs}
from ${elements} order by value ->> 0, value ->> 1, value ->> 2, ord
on conflict (service, topic, dedup_key) do update set
  message_id = case when waybill_dedup_keys.expires_at <= waybill_now() then excluded.message_id else waybill_dedup_keys.message_id end,
  expires_at = case when waybill_dedup_keys.expires_at <= waybill_now() then excluded.expires_at else waybill_dedup_keys.expires_at end
returning service, topic, dedup_key, message_id`

type Table = 'waybill_messages' | 'waybill_delayed'

const insertOneInto = (table: Table): string =>
  `insert into ${table} (${messageColumns}) values (${messageParams})`
const insertOne: Readonly<Record<Table, string>> = {
  waybill_messages: insertOneInto('waybill_messages'),
  waybill_delayed: insertOneInto('waybill_delayed'),
}

/** One statement where all messages are plain: no dedup key, none delayed. */
export async function append(
  connection: PgConnection,
  messages: readonly PublishedEnvelope[],
  topics: readonly TopicDeclaration[],
  now: number,
): Promise<readonly Appended[]> {
  const [only] = messages
  if (messages.length === 1 && only!.dedupKey === null && !isDelayed(only!, now)) {
    // What a user's transaction nearly always publishes: nothing of what follows applies.
    await connection.run(
      insertOne.waybill_messages,
      ...toParams(only!, queueOf(only!, topics[0]!.queues), null),
    )
    return [{ id: only!.id, duplicate: false }]
  }
  const queues = new Map(topics.map((topic) => [topic.name, topic.queues]))
  const holders = await takeDedupKeys(connection, messages)
  const answers = messages.map((message): Appended => {
    const id =
      message.dedupKey === null
        ? message.id
        : holders.get(keyOf(message.service, message.topic, message.dedupKey))!
    return { id, duplicate: id !== message.id }
  })
  const queueFor = (message: PublishedEnvelope): number => queueOf(message, queues.get(message.topic)!)
  const fresh = messages.filter((_, i) => !answers[i]!.duplicate)
  await insert(
    connection,
    'waybill_messages',
    fresh.filter((message) => !isDelayed(message, now)),
    queueFor,
  )
  await insert(
    connection,
    'waybill_delayed',
    fresh.filter((message) => isDelayed(message, now)),
    queueFor,
  )
  for (const { id, duplicate } of answers) {
    if (!duplicate) continue
    await refuseIfUndecided(connection, id)
    await connection.run(
      "insert into waybill_suppressed (message_id, cause, at) values (?, 'published-again', waybill_now())",
      id,
    )
  }
  return answers
}

/** A clock that went back since it was composed delays nothing (P18). */
function isDelayed({ eligibleAt, publishedAt }: PublishedEnvelope, now: number): boolean {
  return eligibleAt > now && eligibleAt > publishedAt
}

async function insert(
  connection: PgConnection,
  table: Table,
  messages: readonly PublishedEnvelope[],
  queueFor: (message: PublishedEnvelope) => number,
): Promise<void> {
  const rows = messages.map((message) => toParams(message, queueFor(message), null))
  const [only] = rows
  if (only === undefined) return
  if (rows.length === 1) {
    await connection.run(insertOne[table], ...only)
    return
  }
  const { select, params } = columnsOf(rows)
  await connection.run(`insert into ${table} (${messageColumns}) ${select}`, ...params)
}

/** "Published before" would be a lie: the half message that holds the key may still be rolled back (P27). */
async function refuseIfUndecided(connection: PgConnection, holder: MessageId): Promise<void> {
  const undecided = "select 1 from waybill_halves where id = ? and state in ('prepared', 'in-doubt')"
  if ((await connection.all(undecided, holder)).length === 0) return
  throw new WaybillError(
    'publish.dedup-pending',
    `the dedup key is held by the half message ${holder}, which nobody has decided yet; try again once it is, or let the transaction fail`,
    { holder },
  )
}

export async function takeDedupKeys(
  connection: PgConnection,
  messages: readonly PublishedEnvelope[],
): Promise<ReadonlyMap<string, MessageId>> {
  const keyed = messages.filter((message) => message.dedupKey !== null)
  if (keyed.length === 0) return new Map()
  const rows = await connection.all(
    takeKeys,
    JSON.stringify(keyed.map((message) => [message.service, message.topic, message.dedupKey, message.id])),
  )
  return new Map(
    rows.map((row) => [
      keyOf(row['service'], row['topic'], row['dedup_key']),
      row['message_id'] as MessageId,
    ]),
  )
}

function keyOf(service: string, topic: string, dedupKey: string): string {
  return `${service}\u0000${topic}\u0000${dedupKey}`
}
