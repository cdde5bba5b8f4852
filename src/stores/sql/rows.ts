import { bodyDigest } from '../../body-digest.ts'
import type { MessageId } from '../../core/ids.ts'
import { type Envelope, type LoggedMessage, type SourcePosition, withDigest } from '../../core/message.ts'
import type { QueueName } from '../../core/store.ts'
import type { Names } from './dialect.ts'
import type { SqlRow, SqlValue } from './sql.ts'

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})

/** The columns of a message, alike in waybill_messages, waybill_delayed, waybill_halves and waybill_copies. */
export function messageColumnsOf(names: Names): string {
  const hash = names.bodyHash === null ? '' : `${names.bodyHash}, `
  return `id, service, topic, queue, tag, ${names.key}, sharding_key, headers, body, body_binary, ${hash}published_at, eligible_at, source, source_queue, source_pos`
}

/** One placeholder for each. */
export function placeholdersFor(columns: string): string {
  return columns
    .split(', ')
    .map(() => '?')
    .join(', ')
}

/** Rows of one server's messages, by its names for their columns. */
export function rowsBy(names: Names) {
  return {
    toLogged: (row: SqlRow, queue?: QueueName) => toLogged(row, names, queue),
    toParams: (message: Envelope, queue: number, source: SourcePosition | null) =>
      toParams(message, queue, source, names),
    toJsonElement: (message: Envelope, queue: number, source: SourcePosition | null) =>
      toJsonElement(message, queue, source, names),
  }
}

/** A row with the columns of a message and `pos`, its place in the sequence of its queue, which may be known without the row. */
export function toLogged(
  row: SqlRow,
  names: Names,
  { topic, queue }: QueueName = row as QueueName,
): LoggedMessage {
  const { source } = row
  const message = {
    id: row['id'] as MessageId,
    service: row['service'],
    topic,
    queue,
    position: row['pos'],
    tag: row['tag'],
    key: row[names.key],
    shardingKey: row['sharding_key'],
    headers: toHeaders(row['headers']),
    body: (row['body'] ?? new Uint8Array(row['body_binary'])) as string | Uint8Array,
    publishedAt: row['published_at'],
    eligibleAt: row['eligible_at'],
    source: source === null ? null : toSource(row, source),
  }
  return names.bodyHash === null
    ? withDigest(message, bodyDigest)
    : Object.assign(message, { bodyHash: row[names.bodyHash] as string })
}

export function toSource(row: SqlRow, source: string): SourcePosition {
  return { source, queue: row['source_queue'], position: row['source_pos'] }
}

export function toHeaders(column: string | null): Readonly<Record<string, string>> {
  return column === null ? noHeaders : (JSON.parse(column) as Record<string, string>)
}

function headersColumn(headers: Readonly<Record<string, string>>): string | null {
  for (const _ in headers) return JSON.stringify(headers)
  return null
}

/** Parameters of one message, in the order of its columns: a text in one, bytes in the other. */
export function toParams(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
  names: Names,
): readonly BoundValue[] {
  const { body } = message
  return paramsWith(typeof body === 'string' ? [body, null] : [null, body], message, queue, source, names)
}

type BoundValue = Exclude<SqlValue, boolean>

/** The same for columns of one's own for the body. */
export function paramsWith(
  body: readonly BoundValue[],
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
  names: Names,
): readonly BoundValue[] {
  return [
    message.id,
    message.service,
    message.topic,
    queue,
    message.tag,
    message.key,
    message.shardingKey,
    headersColumn(message.headers),
    ...body,
    ...(names.bodyHash === null ? [] : [message.bodyHash]),
    message.publishedAt,
    message.eligibleAt,
    source?.source ?? null,
    source?.queue ?? null,
    source?.position ?? null,
  ]
}

/** One message as an element of the JSON parameter of a batch insert, by short names. A binary body travels as hex. */
export function toJsonElement(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
  names: Names,
): Readonly<Record<string, unknown>> {
  const values = toParams(message, queue, source, names)
  return Object.fromEntries(
    values.flatMap((value, i) =>
      value === null ? [] : [[`c${i}`, value instanceof Uint8Array ? hex(value) : value]],
    ),
  )
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
