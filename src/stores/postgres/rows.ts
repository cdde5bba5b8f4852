import { type Names, plainNames } from '../sql/dialect.ts'
import { messageColumnsOf, placeholdersFor, rowsBy } from '../sql/rows.ts'

export { toSource } from '../sql/rows.ts'

/** Hashing each body would cost a publisher more than writing the row. `waybill_digest` is the same in SQL. */
export const names: Names = { ...plainNames, bodyHash: null }

/** The columns of a message, alike in waybill_messages, waybill_delayed, waybill_halves and waybill_copies. */
export const messageColumns = messageColumnsOf(names)
/** One placeholder for each. */
export const messageParams = placeholdersFor(messageColumns)

export const { toLogged, toParams, toJsonElement } = rowsBy(names)

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
