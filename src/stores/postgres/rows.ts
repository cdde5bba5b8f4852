import type { MessageId } from '../../core/ids.ts'
import type { Envelope, LoggedMessage, SourcePosition } from '../../core/message.ts'
import type { PgRow, PgValue } from './driver.ts'

/** The columns of a message, alike in waybill_messages, waybill_delayed, waybill_halves and waybill_copies. */
export const messageColumns =
  'id, service, topic, queue, tag, key, sharding_key, headers, body, body_binary, body_hash, published_at, eligible_at, source, source_queue, source_pos'
/** One placeholder for each. */
export const messageParams = messageColumns
  .split(', ')
  .map(() => '?')
  .join(', ')

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})

/** A row with `messageColumns` and `pos`, its place in the sequence of its queue. */
export function toLogged(row: PgRow): LoggedMessage {
  const { headers, source } = row
  return {
    id: row['id'] as MessageId,
    service: row['service'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['pos'],
    tag: row['tag'],
    key: row['key'],
    shardingKey: row['sharding_key'],
    headers: headers === null ? noHeaders : JSON.parse(headers),
    body: row['body'] ?? new Uint8Array(row['body_binary']),
    bodyHash: row['body_hash'],
    publishedAt: row['published_at'],
    eligibleAt: row['eligible_at'],
    source: source === null ? null : toSource(row, source),
  }
}

export function toSource(row: PgRow, source: string): SourcePosition {
  return { source, queue: row['source_queue'], position: row['source_pos'] }
}

function headersColumn(headers: Readonly<Record<string, string>>): string | null {
  for (const _ in headers) return JSON.stringify(headers)
  return null
}

/** Parameters of one message, in the order of `messageColumns`. */
export function toParams(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
): readonly PgValue[] {
  const { body } = message
  const isText = typeof body === 'string'
  return [
    message.id,
    message.service,
    message.topic,
    queue,
    message.tag,
    message.key,
    message.shardingKey,
    headersColumn(message.headers),
    isText ? body : null,
    isText ? null : body,
    message.bodyHash,
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
): Readonly<Record<string, unknown>> {
  const values = toParams(message, queue, source)
  return Object.fromEntries(
    values.flatMap((value, i) =>
      value === null ? [] : [[`c${i}`, value instanceof Uint8Array ? hex(value) : value]],
    ),
  )
}

const integers = new Set(['queue', 'source_queue'])
const bigints = new Set(['published_at', 'eligible_at', 'source_pos'])
const columns = messageColumns.split(', ')
const typed = columns
  .map((column, i) => `c${i} ${integers.has(column) ? 'integer' : bigints.has(column) ? 'bigint' : 'text'}`)
  .join(', ')

/**
 * Those elements as rows of `messageColumns`, in their order. A record set: taking values out of each element one by one would parse
 * it again for each. Text first: some drivers encode what they think is JSON once more.
 */
export const fromJsonElements = `select ${columns
  .map((column, i) => (column === 'body_binary' ? `decode(c${i}, 'hex')` : `c${i}`))
  .join(', ')} from rows from (json_to_recordset((?::text)::json) as (${typed})) with ordinality
  as elements(${columns.map((_, i) => `c${i}`).join(', ')}, ord) order by ord`

/** A JSON parameter as rows, each a list. */
export const elements = 'json_array_elements((?::text)::json) with ordinality as elements(value, ord)'
/** A JSON list of texts as rows of one column. */
export const texts = 'select value from json_array_elements_text((?::text)::json) as texts(value)'

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
