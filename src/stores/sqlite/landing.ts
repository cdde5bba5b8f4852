import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { LandedAs, LandingBatch } from '../../core/store.ts'
import { landingGroup } from '../sql/group-rules.ts'
import { bury, keepCopy } from './dispositions.ts'
import type { Row, SqliteConnection } from './driver.ts'
import { recordPosition } from './epochs.ts'
import { fromJsonElement, messageColumns, toJsonElement } from './rows.ts'
import type { Topics } from './topics.ts'

type Landing = LandingBatch['messages'][number]

const insert = `insert into waybill_messages (${messageColumns}) select ${fromJsonElement} from json_each(?) where true on conflict (id) do nothing returning id`
const present =
  'select id, body_hash, source, source_queue, source_pos from waybill_messages where id in (select value from json_each(?))'

export function land(
  connection: SqliteConnection,
  topics: Topics,
  batch: LandingBatch,
  now: number,
): readonly LandedAs[] {
  const queues = new Map(
    batch.topics.map((topic) => [topic.name, topics.queuesOrCreate(connection, topic, now)]),
  )
  const elements = batch.messages.map((message) =>
    toJsonElement(message, queueOf(message, queues.get(message.topic)!), message.from),
  )
  // RETURNING says which ids were free, but an id may also occur twice in one batch: only its first is new.
  const free = new Set(connection.all(insert, JSON.stringify(elements)).map((row) => row['id'] as MessageId))
  const answers = batch.messages.map((message): LandedAs =>
    free.delete(message.id) ? 'landed' : 'duplicate',
  )
  const stored = lookUp(
    connection,
    batch.messages.filter((_, i) => answers[i] === 'duplicate'),
  )
  batch.messages.forEach((message, i) => {
    if (answers[i] === 'duplicate')
      answers[i] = suppress(connection, message, stored.get(message.id)!, queues.get(message.topic)!, now)
  })
  for (const at of batch.upTo) recordPosition(connection, at)
  return answers
}

function lookUp(connection: SqliteConnection, messages: readonly Landing[]): ReadonlyMap<MessageId, Row> {
  if (messages.length === 0) return new Map()
  return new Map(
    connection
      .all(present, JSON.stringify(messages.map((message) => message.id)))
      .map((row) => [row['id'] as MessageId, row]),
  )
}

function suppress(
  connection: SqliteConnection,
  message: Landing,
  stored: Row,
  queues: number,
  now: number,
): LandedAs {
  if (stored['body_hash'] !== message.bodyHash) {
    park(connection, message, queues, now)
    return 'collision'
  }
  // What this service published itself comes back from a broker that it also listens to: no duplicate of anything.
  if (stored['source'] === null) return 'duplicate'
  const { source, queue, position } = message.from
  const sameRow =
    stored['source'] === source && stored['source_queue'] === queue && stored['source_pos'] === position
  connection.run(
    'insert into waybill_suppressed (message_id, cause, source, source_queue, source_pos, at) values (?, ?, ?, ?, ?, ?)',
    message.id,
    sameRow ? 'received-again' : 'sent-again',
    source,
    queue,
    position,
    now,
  )
  return 'duplicate'
}

/** Same id, other body: it cannot enter the log under that id, and must not vanish (P4). */
function park(connection: SqliteConnection, message: Landing, queues: number, now: number): void {
  const queue = queueOf(message, queues)
  parkLogged(connection, { ...message, queue, position: 0, source: message.from }, now)
}

/** The log's row of the first is purged by now, but its receipt is not. */
export function collisionsOf(
  connection: SqliteConnection,
  group: string,
  messages: readonly LoggedMessage[],
): readonly LoggedMessage[] {
  const hashes = new Map(
    connection
      .all(
        'select message_id, body_hash from waybill_dispositions where grp = ? and message_id in (select value from json_each(?))',
        group,
        JSON.stringify(messages.map((message) => message.id)),
      )
      .map((row) => [row['message_id'] as MessageId, row['body_hash']]),
  )
  return messages.filter(({ id, bodyHash }) => hashes.has(id) && hashes.get(id) !== bodyHash)
}

export function parkLogged(connection: SqliteConnection, message: LoggedMessage, now: number): void {
  const because = `a message with this id and another body was here before (hash ${message.bodyHash} here, another there)`
  const parked = connection.run(
    "insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, cause, because, at) values (?, ?, ?, ?, 0, 'dead', ?, 'receipt.id-collision', ?, ?) on conflict do nothing",
    landingGroup,
    message.id,
    message.topic,
    message.queue,
    message.bodyHash,
    because,
    now,
  )
  // It came before, and may have been given up since.
  if (parked === 0) return
  keepCopy(connection, landingGroup, message)
  bury(connection, landingGroup, { message, attempts: 0, cause: 'receipt.id-collision', because }, now)
}
