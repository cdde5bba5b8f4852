import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Envelope, PublishedEnvelope, SourcePosition } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { Appended, TopicDeclaration } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import {
  fromJsonElements,
  messageColumns,
  messageParams,
  rowsOf,
  toJsonElement,
  toParams,
  unlocked,
} from './rows.ts'

const dedupWindowMs = 24 * 3_600_000
/** Statements of a batch are cut at about this size, a quarter of what the smaller of the usual packets holds. */
const statementBytesMax = 4 * 1024 * 1024

const given = rowsOf(
  'service varchar(100)',
  'topic varchar(100)',
  'dedup_key varchar(255)',
  'id varchar(255)',
)
// In sorted order, or two publishers of the same keys dead-lock. An expired key is taken over; a live one keeps its first holder.
// The expiry is changed last: what is assigned is seen by what stands behind it.
const takeKeys = `insert into waybill_dedup_keys (service, topic, dedup_key, message_id, expires_at)
  select service, topic, dedup_key, id, waybill_now() + ${dedupWindowMs} from ${given} given order by service, topic, dedup_key, ord
  on duplicate key update message_id = if(expires_at <= waybill_now(), values(message_id), message_id),
    expires_at = if(expires_at <= waybill_now(), values(expires_at), expires_at)`
// Of what is there now: the user's transaction may look at an older moment, in which another's key was not there (P27).
const holders = `select k.service, k.topic, k.dedup_key, k.message_id from ${unlocked(given)} given straight_join waybill_dedup_keys k
  on k.service = given.service and k.topic = given.topic and k.dedup_key = given.dedup_key for update`

type Table = 'waybill_messages' | 'waybill_delayed'

/** A message on its way into a table. */
export interface RowToInsert {
  readonly message: Envelope
  readonly queue: number
  readonly source: SourcePosition | null
}

/** One statement where all messages are plain and small: no dedup key, none delayed. */
export async function append(
  connection: MyConnection,
  messages: readonly PublishedEnvelope[],
  topics: readonly TopicDeclaration[],
  now: number,
): Promise<readonly Appended[]> {
  const queues = new Map(topics.map((topic) => [topic.name, topic.queues]))
  const held = await takeDedupKeys(connection, messages)
  const answers = messages.map((message): Appended => {
    const id =
      message.dedupKey === null
        ? message.id
        : held.get(keyOf(message.service, message.topic, message.dedupKey))!
    return { id, duplicate: id !== message.id }
  })
  const fresh = messages.filter((_, i) => !answers[i]!.duplicate)
  const isDelayed = (message: PublishedEnvelope): boolean =>
    // A clock that went back since it was composed delays nothing (P18).
    message.eligibleAt > now && message.eligibleAt > message.publishedAt
  const rowsIf = (delayed: boolean): readonly RowToInsert[] =>
    fresh
      .filter((message) => isDelayed(message) === delayed)
      .map((message) => ({ message, queue: queueOf(message, queues.get(message.topic)!), source: null }))
  await insertRows(connection, 'waybill_messages', rowsIf(false))
  await insertRows(connection, 'waybill_delayed', rowsIf(true))
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

/** In their order. Answers how many were inserted. */
export async function insertRows(
  connection: MyConnection,
  table: Table,
  rows: readonly RowToInsert[],
): Promise<number> {
  let inserted = 0
  for (const part of inStatements(rows)) {
    const [first] = part
    inserted +=
      part.length === 1
        ? await connection.run(
            `insert into ${table} (${messageColumns}) values (${messageParams})`,
            ...toParams(first!.message, first!.queue, first!.source),
          )
        : await connection.run(
            `insert into ${table} (${messageColumns}) ${fromJsonElements}`,
            JSON.stringify(part.map(({ message, queue, source }) => toJsonElement(message, queue, source))),
          )
  }
  return inserted
}

/** Bytes travel as hex, and other characters as up to three bytes: a guess that errs on the large side. */
function inStatements(rows: readonly RowToInsert[]): readonly (readonly RowToInsert[])[] {
  const parts: RowToInsert[][] = []
  let room = 0
  for (const row of rows) {
    const { body } = row.message
    const bytes = typeof body === 'string' ? body.length * 3 : body.byteLength * 2
    if (bytes > room || parts.length === 0) {
      parts.push([])
      room = statementBytesMax
    }
    parts.at(-1)!.push(row)
    room -= bytes
  }
  return parts
}

/** "Published before" would be a lie: the half message that holds the key may still be rolled back (P27). */
async function refuseIfUndecided(connection: MyConnection, holder: MessageId): Promise<void> {
  const undecided = "select 1 from waybill_halves where id = ? and state in ('prepared', 'in-doubt')"
  if ((await connection.all(undecided, holder)).length === 0) return
  throw new WaybillError(
    'publish.dedup-pending',
    `the dedup key is held by the half message ${holder}, which nobody has decided yet; try again once it is, or let the transaction fail`,
    { holder },
  )
}

export async function takeDedupKeys(
  connection: MyConnection,
  messages: readonly PublishedEnvelope[],
): Promise<ReadonlyMap<string, MessageId>> {
  const keyed = messages.filter((message) => message.dedupKey !== null)
  if (keyed.length === 0) return new Map()
  const list = JSON.stringify(
    keyed.map((message) => [message.service, message.topic, message.dedupKey, message.id]),
  )
  await connection.run(takeKeys, list)
  const rows = await connection.all(holders, list)
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
