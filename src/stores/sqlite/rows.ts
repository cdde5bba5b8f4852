import type { MessageId } from '../../core/ids.ts'
import type { Envelope, LoggedMessage, SourcePosition } from '../../core/message.ts'
import type { DispositionState } from '../../core/state.ts'
import type { QueueName, ReadMessage } from '../../core/store.ts'
import { plainNames } from '../sql/dialect.ts'
import { hex, paramsWith, toHeaders, toLogged as rowToLogged } from '../sql/rows.ts'
import type { Row, SqlValue } from './driver.ts'

export { toSource } from '../sql/rows.ts'

/** The columns of a message, alike in waybill_messages and waybill_copies. */
export const messageColumns =
  'id, service, topic, queue, tag, key, sharding_key, headers, body, body_hash, published_at, eligible_at, source, source_queue, source_pos'

export function toLogged(row: Row): LoggedMessage {
  return rowToLogged(row, plainNames)
}

/** What `toRead` takes, in this order. Topic and queue are the lease's. */
export const readColumns =
  'm.pos, m.id, m.service, m.tag, m.key, m.sharding_key, m.headers, m.body, m.body_hash, m.published_at, m.eligible_at, m.source, m.source_queue, m.source_pos'

/** A row of `readColumns`, then the disposition's state, then whether the message is blocked; both may be left out. */
export function toRead(row: readonly SqlValue[], { topic, queue }: QueueName): ReadMessage {
  const source = row[11] as string | null
  return {
    id: row[1] as MessageId,
    service: row[2] as string,
    topic,
    queue,
    position: row[0] as number,
    tag: row[3] as string | null,
    key: row[4] as string | null,
    shardingKey: row[5] as string | null,
    headers: toHeaders(row[6] as string | null),
    body: row[7] as string | Uint8Array,
    bodyHash: row[8] as string,
    publishedAt: row[9] as number,
    eligibleAt: row[10] as number,
    source: source === null ? null : { source, queue: row[12] as number, position: row[13] as number },
    disposition: (row[14] ?? null) as DispositionState | null,
    blocked: row[15] === 1,
  }
}

/** One message as an element of the JSON parameter of a batch insert. A binary body travels as hex. */
export function toJsonElement(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
): readonly SqlValue[] {
  const { body } = message
  return paramsWith(
    typeof body === 'string' ? [body, null] : [null, hex(body)],
    message,
    queue,
    source,
    plainNames,
  )
}

/** Selects those elements back, in the order of `messageColumns`. */
export const fromJsonElement = [
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `value ->> ${i}`),
  'coalesce(value ->> 8, unhex(value ->> 9))',
  ...[10, 11, 12, 13, 14, 15].map((i) => `value ->> ${i}`),
].join(', ')

/** Parameters of one message for a plain insert, in the order of `messageColumns`. */
export function toParams(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
): readonly SqlValue[] {
  return paramsWith([message.body], message, queue, source, plainNames)
}
