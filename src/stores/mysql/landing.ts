import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import { queueOf } from '../../core/queue.ts'
import type { LandedAs, LandingBatch } from '../../core/store.ts'
import { recordPosition } from '../sql/epochs.ts'
import type { MyConnection } from './connection.ts'
import { bury, keepCopy } from './dispositions.ts'
import type { MyRow } from './driver.ts'
import { landingGroup } from '../sql/group-rules.ts'
import { insertRows } from './publishing.ts'
import { texts } from './rows.ts'
import type { Topics } from './topics.ts'

type Landing = LandingBatch['messages'][number]

const present = `select id, body_hash, source, source_queue, source_pos from waybill_messages where id in (${texts})`

export async function land(
  connection: MyConnection,
  topics: Topics,
  batch: LandingBatch,
): Promise<readonly LandedAs[]> {
  const queues = new Map<string, number>()
  for (const topic of batch.topics) queues.set(topic.name, await topics.queuesOrCreate(connection, topic))
  const known = await lookUp(connection, batch.messages)
  const seen = new Set<MessageId>(known.keys())
  // An id may also occur twice in one batch: only its first is new.
  const answers = batch.messages.map(({ id }): LandedAs => {
    const isNew = !seen.has(id)
    seen.add(id)
    return isNew ? 'landed' : 'duplicate'
  })
  const fresh = batch.messages.filter((_, i) => answers[i] === 'landed')
  const rows = fresh.map((message) => ({
    message,
    queue: queueOf(message, queues.get(message.topic)!),
    source: message.from,
  }))
  const inserted = await insertRows(connection, 'waybill_messages', rows)
  if (inserted !== fresh.length)
    throw new WaybillError(
      'store.busy',
      'somebody else landed some of these messages meanwhile; it is tried again',
    )
  const isRepeated = answers.includes('duplicate')
  const stored = isRepeated ? await lookUp(connection, batch.messages) : known
  for (const [i, message] of batch.messages.entries()) {
    if (answers[i] === 'duplicate')
      answers[i] = await suppress(connection, message, stored.get(message.id)!, queues.get(message.topic)!)
  }
  for (const at of batch.upTo) await recordPosition(connection, at)
  return answers
}

async function lookUp(
  connection: MyConnection,
  messages: readonly Landing[],
): Promise<ReadonlyMap<MessageId, MyRow>> {
  if (messages.length === 0) return new Map()
  const rows = await connection.all(present, JSON.stringify(messages.map((message) => message.id)))
  return new Map(rows.map((row) => [row['id'] as MessageId, row]))
}

async function suppress(
  connection: MyConnection,
  message: Landing,
  stored: MyRow,
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
async function park(connection: MyConnection, message: Landing, queues: number): Promise<void> {
  const queue = queueOf(message, queues)
  await parkLogged(connection, { ...message, queue, position: 0, source: message.from })
}

/** The log's row of the first is purged by now, but its receipt is not. */
export async function collisionsOf(
  connection: MyConnection,
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

export async function parkLogged(connection: MyConnection, message: LoggedMessage): Promise<void> {
  const because = `a message with this id and another body was here before (hash ${message.bodyHash} here, another there)`
  const parked = await connection.run(
    "insert ignore into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, cause, because, at) values (?, ?, ?, ?, 0, 'dead', ?, 'receipt.id-collision', ?, waybill_now())",
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
