import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { PublishedEnvelope } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { Appended, TopicDeclaration } from '../../core/store.ts'
import type { SqliteConnection } from './driver.ts'
import { fromJsonElement, messageColumns, toJsonElement, toParams } from './rows.ts'

const dedupWindowMs = 24 * 3_600_000

// An expired key is taken over; a live one answers its first holder. One statement, so that nothing can come in between (P27).
const takeKeys = `
insert into waybill_dedup_keys (service, topic, dedup_key, message_id, expires_at)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, ? from json_each(?) where true
on conflict (service, topic, dedup_key) do update set
  message_id = iif(expires_at <= ?, excluded.message_id, message_id),
  expires_at = iif(expires_at <= ?, excluded.expires_at, expires_at)
returning service, topic, dedup_key, message_id`

const suppress = `insert into waybill_suppressed (message_id, cause, at) values (?, 'published-again', ?)`

function insert(
  connection: SqliteConnection,
  table: 'waybill_messages' | 'waybill_delayed',
  messages: readonly PublishedEnvelope[],
  queueFor: (message: PublishedEnvelope) => number,
): void {
  const [first] = messages
  if (!first) return
  if (messages.length === 1) {
    connection.run(
      `insert into ${table} (${messageColumns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...toParams(first, queueFor(first), null),
    )
    return
  }
  connection.run(
    `insert into ${table} (${messageColumns}) select ${fromJsonElement} from json_each(?)`,
    JSON.stringify(messages.map((message) => toJsonElement(message, queueFor(message), null))),
  )
}

export function append(
  connection: SqliteConnection,
  messages: readonly PublishedEnvelope[],
  topics: readonly TopicDeclaration[],
  now: number,
): readonly Appended[] {
  const queues = new Map(topics.map((topic) => [topic.name, topic.queues]))
  const holders = takeDedupKeys(connection, messages, now)
  const answers = messages.map((message): Appended => {
    const id =
      message.dedupKey === null
        ? message.id
        : holders.get(keyOf(message.service, message.topic, message.dedupKey))!
    return { id, duplicate: id !== message.id }
  })
  const queueFor = (message: PublishedEnvelope): number => queueOf(message, queues.get(message.topic)!)
  const fresh = messages.filter((_, i) => !answers[i]!.duplicate)
  // Not by the time alone: a clock that went back since the message was made would delay what nobody wanted delayed (P18).
  const isDelayed = ({ eligibleAt, publishedAt }: PublishedEnvelope): boolean =>
    eligibleAt > Math.max(now, publishedAt)
  insert(
    connection,
    'waybill_messages',
    fresh.filter((message) => !isDelayed(message)),
    queueFor,
  )
  insert(connection, 'waybill_delayed', fresh.filter(isDelayed), queueFor)
  for (const { id, duplicate } of answers) {
    if (!duplicate) continue
    refuseIfUndecided(connection, id)
    connection.run(suppress, id, now)
  }
  return answers
}

/** "Published before" would be a lie: the half message that holds the key may still be rolled back (P27). */
function refuseIfUndecided(connection: SqliteConnection, holder: MessageId): void {
  const undecided = "select 1 from waybill_halves where id = ? and state in ('prepared', 'in-doubt')"
  if (connection.all(undecided, holder).length === 0) return
  throw new WaybillError(
    'publish.dedup-pending',
    `the dedup key is held by the half message ${holder}, which nobody has decided yet; try again once it is, or let the transaction fail`,
    { holder },
  )
}

export function takeDedupKeys(
  connection: SqliteConnection,
  messages: readonly PublishedEnvelope[],
  now: number,
): ReadonlyMap<string, MessageId> {
  const keyed = messages.filter((message) => message.dedupKey !== null)
  if (keyed.length === 0) return new Map()
  const elements = keyed.map((message) => [message.service, message.topic, message.dedupKey, message.id])
  const rows = connection.all(takeKeys, now + dedupWindowMs, JSON.stringify(elements), now, now)
  return new Map(
    rows.map((row) => [
      keyOf(row['service'] as string, row['topic'] as string, row['dedup_key'] as string),
      row['message_id'] as MessageId,
    ]),
  )
}

function keyOf(service: string, topic: string, dedupKey: string): string {
  return `${service}\u0000${topic}\u0000${dedupKey}`
}
