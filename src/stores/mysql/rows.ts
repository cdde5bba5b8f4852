import type { Envelope, LoggedMessage, SourcePosition } from '../../core/message.ts'
import type { Names } from '../sql/dialect.ts'
import * as rows from '../sql/rows.ts'
import type { MyRow } from './driver.ts'

export { toSource } from '../sql/rows.ts'

/** MySQL keeps these words for itself, one version or the other. */
export const names: Names = {
  key: 'msg_key',
  sequence: 'ordering',
  groups: 'of_groups',
  until: 'until_ms',
  bodyHash: 'body_hash',
}

export const messageColumns = rows.messageColumnsOf(names)
export const messageParams = rows.placeholdersFor(messageColumns)

export function toLogged(row: MyRow): LoggedMessage {
  return rows.toLogged(row, names)
}

export function toParams(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
): ReturnType<typeof rows.toParams> {
  return rows.toParams(message, queue, source, names)
}

export function toJsonElement(
  message: Envelope,
  queue: number,
  source: SourcePosition | null,
): Readonly<Record<string, unknown>> {
  return rows.toJsonElement(message, queue, source, names)
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
