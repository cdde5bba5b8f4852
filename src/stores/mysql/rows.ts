import type { Names } from '../sql/dialect.ts'
import { messageColumnsOf, placeholdersFor, rowsBy } from '../sql/rows.ts'

export { toSource } from '../sql/rows.ts'

/** MySQL keeps these words for itself, one version or the other. */
export const names: Names = {
  key: 'msg_key',
  sequence: 'ordering',
  groups: 'of_groups',
  until: 'until_ms',
  bodyHash: 'body_hash',
}

export const messageColumns = messageColumnsOf(names)
export const messageParams = placeholdersFor(messageColumns)

export const { toLogged, toParams, toJsonElement } = rowsBy(names)

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

/**
 * Such rows joined in a read that locks. MySQL would lock them as well, and refuses to ("appears in multiple locking clauses") unless
 * they are a table within the table.
 */
export function unlocked(rows: string): string {
  return `(select * from ${rows} listed)`
}

/** A JSON list of texts, for `in`. */
export const texts = `select value from ${valuesOf('varchar(255)')} texts`

function typeOf(type: string): string {
  return /^(?:varchar|longtext)/.test(type) ? `${type} character set utf8mb4` : type
}
