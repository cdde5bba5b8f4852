import type { MessageId } from '../../core/ids.ts'
import type { Envelope, LoggedMessage, SourcePosition } from '../../core/message.ts'
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
