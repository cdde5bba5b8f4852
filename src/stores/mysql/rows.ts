import type { MessageId } from '../../core/ids.ts'
import type { Envelope, LoggedMessage, SourcePosition } from '../../core/message.ts'
import type { MyRow, MyValue } from './driver.ts'

/** The columns of a message, alike in waybill_messages, waybill_delayed, waybill_halves and waybill_copies. */
export const messageColumns =
  'id, service, topic, queue, tag, msg_key, sharding_key, headers, body, body_binary, body_hash, published_at, eligible_at, source, source_queue, source_pos'
/** One placeholder for each. */
export const messageParams = messageColumns
  .split(', ')
  .map(() => '?')
  .join(', ')

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})

/** A row with `messageColumns` and `pos`, its place in the sequence of its queue. */
export function toLogged(row: MyRow): LoggedMessage {
  const { headers, source } = row
  return {
    id: row['id'] as MessageId,
    service: row['service'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['pos'],
    tag: row['tag'],
    key: row['msg_key'],
    shardingKey: row['sharding_key'],
    headers: headers === null ? noHeaders : JSON.parse(headers),
    body: row['body'] ?? new Uint8Array(row['body_binary']),
    bodyHash: row['body_hash'],
    publishedAt: row['published_at'],
    eligibleAt: row['eligible_at'],
    source: source === null ? null : toSource(row, source),
  }
}

export function toSource(row: MyRow, source: string): SourcePosition {
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
): readonly MyValue[] {
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

const types: Readonly<Record<string, string>> = {
  queue: 'integer',
  source_queue: 'integer',
  published_at: 'bigint',
  eligible_at: 'bigint',
  source_pos: 'bigint',
  headers: 'longtext',
  body: 'longtext',
  body_binary: 'longtext',
}
const columns = messageColumns.split(', ')
const typed = columns
  .map((column, i) => `c${i} ${typeOf(types[column] ?? 'varchar(255)')} path '$.c${i}'`)
  .join(', ')

/** Those elements as rows of `messageColumns`, in their order. */
export const fromJsonElements = `select ${columns
  .map((column, i) => (column === 'body_binary' ? `unhex(c${i})` : `c${i}`))
  .join(', ')} from json_table(?, '$[*]' columns (ord for ordinality, ${typed})) elements order by ord`

/**
 * A JSON parameter as rows: of lists where columns have places, as in `rowsOf('id varchar(255)', 'n bigint')`, with `ord`.
 * Texts say their characters, or the user's database would decide what they can hold.
 */
export function rowsOf(...columnsOfLists: readonly string[]): string {
  const listed = columnsOfLists.map((column, i) => {
    const [name, type] = column.split(' ') as [string, string]
    return `${name} ${typeOf(type)} path '$[${i}]'`
  })
  return `json_table(?, '$[*]' columns (ord for ordinality, ${listed.join(', ')}))`
}

/** A JSON list as rows of one column, `value`. */
export function valuesOf(type: string): string {
  return `json_table(?, '$[*]' columns (value ${typeOf(type)} path '$'))`
}

/** A JSON list of texts, for `in`. */
export const texts = `select value from ${valuesOf('varchar(255)')} texts`

function typeOf(type: string): string {
  return /^(?:varchar|longtext)/.test(type) ? `${type} character set utf8mb4` : type
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
