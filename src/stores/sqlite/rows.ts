import type { MessageId } from '../../core/ids.ts'
import type { Envelope, LoggedMessage, SourcePosition } from '../../core/message.ts'
import type { DispositionState } from '../../core/state.ts'
import type { QueueName, ReadMessage } from '../../core/store.ts'
import type { Row, SqlValue } from './driver.ts'

/** The columns of a message, alike in waybill_messages and waybill_copies. */
export const messageColumns =
  'id, service, topic, queue, tag, key, sharding_key, headers, body, body_hash, published_at, eligible_at, source, source_queue, source_pos'

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})

export function toLogged(row: Row): LoggedMessage {
  const headers = row['headers'] as string | null
  const source = row['source'] as string | null
  return {
    id: row['id'] as MessageId,
    service: row['service'] as string,
    topic: row['topic'] as string,
    queue: row['queue'] as number,
    position: row['pos'] as number,
    tag: row['tag'] as string | null,
    key: row['key'] as string | null,
    shardingKey: row['sharding_key'] as string | null,
    headers: headers === null ? noHeaders : (JSON.parse(headers) as Record<string, string>),
    body: row['body'] as string | Uint8Array,
    bodyHash: row['body_hash'] as string,
    publishedAt: row['published_at'] as number,
    eligibleAt: row['eligible_at'] as number,
    source: source === null ? null : toSource(row, source),
  }
}

/** What `toRead` takes, in this order. Topic and queue are the lease's. */
export const readColumns =
  'm.pos, m.id, m.service, m.tag, m.key, m.sharding_key, m.headers, m.body, m.body_hash, m.published_at, m.eligible_at, m.source, m.source_queue, m.source_pos'

/** A row of `readColumns`, then the disposition's state, then whether the message is blocked; both may be left out. */
export function toRead(row: readonly SqlValue[], { topic, queue }: QueueName): ReadMessage {
  const headers = row[6] as string | null
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
    headers: headers === null ? noHeaders : (JSON.parse(headers) as Record<string, string>),
    body: row[7] as string | Uint8Array,
    bodyHash: row[8] as string,
    publishedAt: row[9] as number,
    eligibleAt: row[10] as number,
    source: source === null ? null : { source, queue: row[12] as number, position: row[13] as number },
    disposition: (row[14] ?? null) as DispositionState | null,
    blocked: row[15] === 1,
  }
}

export function toSource(row: Row, source: string): SourcePosition {
  return { source, queue: row['source_queue'] as number, position: row['source_pos'] as number }
}

export function headersColumn(headers: Readonly<Record<string, string>>): string | null {
  for (const _ in headers) return JSON.stringify(headers)
  return null
}

/** One message as an element of the JSON parameter of a batch insert. A binary body travels as hex. */
export function toJsonElement(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
): readonly SqlValue[] {
  const isText = typeof message.body === 'string'
  return [
    message.id,
    message.service,
    message.topic,
    queue,
    message.tag,
    message.key,
    message.shardingKey,
    headersColumn(message.headers),
    isText ? (message.body as string) : null,
    isText ? null : hex(message.body as Uint8Array),
    message.bodyHash,
    message.publishedAt,
    message.eligibleAt,
    source?.source ?? null,
    source?.queue ?? null,
    source?.position ?? null,
  ]
}

/** Selects those elements back, in the order of `messageColumns`. */
export const fromJsonElement = [
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `value ->> ${i}`),
  'coalesce(value ->> 8, unhex(value ->> 9))',
  ...[10, 11, 12, 13, 14, 15].map((i) => `value ->> ${i}`),
].join(', ')

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** Parameters of one message for a plain insert, in the order of `messageColumns`. */
export function toParams(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
): readonly SqlValue[] {
  return [
    message.id,
    message.service,
    message.topic,
    queue,
    message.tag,
    message.key,
    message.shardingKey,
    headersColumn(message.headers),
    message.body,
    message.bodyHash,
    message.publishedAt,
    message.eligibleAt,
    source?.source ?? null,
    source?.queue ?? null,
    source?.position ?? null,
  ]
}
