import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { LandedAs, LandingBatch } from '../../core/store.ts'
import { recordPosition } from '../sql/epochs.ts'
import type { PgConnection } from './connection.ts'
import { bury, keepCopy } from './dispositions.ts'
import type { PgRow } from './driver.ts'
import { landingGroup } from '../sql/group-rules.ts'
import { fromJsonElements, messageColumns, texts, toJsonElement } from './rows.ts'
import type { Topics } from './topics.ts'

type Landing = LandingBatch['messages'][number]

const insert = `insert into waybill_messages (${messageColumns}) ${fromJsonElements} on conflict (id) do nothing returning id`
const present = `select id, waybill_digest(body, body_binary) as body_hash, source, source_queue, source_pos from waybill_messages where id in (${texts})`

export async function land(
  connection: PgConnection,
  topics: Topics,
  batch: LandingBatch,
): Promise<readonly LandedAs[]> {
  const queues = new Map<string, number>()
  for (const topic of batch.topics) queues.set(topic.name, await topics.queuesOrCreate(connection, topic))
  const rows = batch.messages.map((message) =>
    toJsonElement(message, queueOf(message, queues.get(message.topic)!), message.from),
  )
  // RETURNING says which ids were free, but an id may also occur twice in one batch: only its first is new.
  const inserted = await connection.all(insert, JSON.stringify(rows))
  const free = new Set(inserted.map((row) => row['id'] as MessageId))
  const answers = batch.messages.map((message): LandedAs =>
    free.delete(message.id) ? 'landed' : 'duplicate',
  )
  const stored = await lookUp(
    connection,
    batch.messages.filter((_, i) => answers[i] === 'duplicate'),
  )
  for (const [i, message] of batch.messages.entries()) {
    if (answers[i] === 'duplicate')
      answers[i] = await suppress(connection, message, stored.get(message.id)!, queues.get(message.topic)!)
  }
  for (const at of batch.upTo) await recordPosition(connection, at)
  return answers
}

async function lookUp(
  connection: PgConnection,
  messages: readonly Landing[],
): Promise<ReadonlyMap<MessageId, PgRow>> {
  if (messages.length === 0) return new Map()
  const rows = await connection.all(present, JSON.stringify(messages.map((message) => message.id)))
  return new Map(rows.map((row) => [row['id'] as MessageId, row]))
}

async function suppress(
  connection: PgConnection,
  message: Landing,
  stored: PgRow,
  queues: number,
): Promise<LandedAs> {
  if (stored['body_hash'] !== message.bodyHash) {
    await park(connection, message, queues)
    return 'collision'
  }
  // What this service published itself comes back from a broker that it also listens to: no duplicate of anything.
  if (stored['source'] === null) return 'duplicate'
  const { source, queue, position } = message.from
  const sameRow =
    stored['source'] === source && stored['source_queue'] === queue && stored['source_pos'] === position
  await connection.run(
    'insert into waybill_suppressed (message_id, cause, source, source_queue, source_pos, at) values (?, ?, ?, ?, ?, waybill_now())',
    message.id,
    sameRow ? 'received-again' : 'sent-again',
    source,
    queue,
    position,
  )
  return 'duplicate'
}

/** Same id, other body: it cannot enter the log under that id, and must not vanish (P4). */
async function park(connection: PgConnection, message: Landing, queues: number): Promise<void> {
  const queue = queueOf(message, queues)
  await parkLogged(connection, { ...message, queue, position: 0, source: message.from })
}

/** The log's row of the first is purged by now, but its receipt is not. */
export async function collisionsOf(
  connection: PgConnection,
  group: string,
  messages: readonly LoggedMessage[],
): Promise<readonly LoggedMessage[]> {
  const rows = await connection.all(
    `select message_id, body_hash from waybill_dispositions where grp = ? and message_id in (${texts})`,
    group,
    JSON.stringify(messages.map((message) => message.id)),
  )
  const hashes = new Map(rows.map((row) => [row['message_id'] as MessageId, row['body_hash']]))
  return messages.filter(({ id, bodyHash }) => hashes.has(id) && hashes.get(id) !== bodyHash)
}

export async function parkLogged(connection: PgConnection, message: LoggedMessage): Promise<void> {
  const because = `a message with this id and another body was here before (hash ${message.bodyHash} here, another there)`
  const parked = await connection.run(
    "insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, cause, because, at) values (?, ?, ?, ?, 0, 'dead', ?, 'receipt.id-collision', ?, waybill_now()) on conflict do nothing",
    landingGroup,
    message.id,
    message.topic,
    message.queue,
    message.bodyHash,
    because,
  )
  // It came before, and may have been given up since.
  if (parked === 0) return
  await keepCopy(connection, landingGroup, message)
  await bury(connection, landingGroup, { message, attempts: 0, cause: 'receipt.id-collision', because })
}
