import type { MyAnswer, MyRow, MyValue } from '../stores/mysql/driver.ts'
import type { Core } from './mysql2-status.ts'

interface Field {
  readonly name: string
  readonly columnType: number
}

interface Header {
  readonly affectedRows: number
  /** As in "Rows matched: 1  Changed: 0  Warnings: 0", in the server's language. */
  readonly info?: string
}

/** DECIMAL, BIGINT and the newer DECIMAL: the library may make text of them, as the user has set it. */
const numeric = new Set([0, 8, 246])

const isUpdate = /^\s*update\b/i

/** One statement, its values bound on the server. Those without any go as text: not all of them can be prepared. */
export async function ask(core: Core, text: string, params: readonly MyValue[]): Promise<MyAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly [unknown, unknown]>()
  const options = { sql: text, ...plain(core) }
  const done = (error: unknown, rows: unknown, fields: unknown): void => {
    if (error) reject(error as Error)
    else resolve([rows, fields])
  }
  if (params.length === 0) core.query(options, done)
  else core.execute({ ...options, values: params.map(bindable) }, done)
  const [rows, fields] = await promise
  if (Array.isArray(rows))
    return { rows: withNumbers(rows, fields as readonly Field[]), affected: rows.length }
  const { affectedRows, info } = rows as Header
  // "affected" are those that matched or those that changed, as the connection's flags are.
  const [matched] = (isUpdate.test(text) && /\d+/.exec(info ?? '')) || []
  return { rows: [], affected: matched === undefined ? affectedRows : Number(matched) }
}

/** Rows as the store wants them, whatever the user has set for the pool. */
function plain({ config }: Core): object {
  const typeCast = typeof config.typeCast === 'function' ? (_: unknown, next: () => unknown) => next() : true
  return { rowsAsArray: false, nestTables: false, namedPlaceholders: false, typeCast }
}

/** The store's integers stay below 2^53. */
function withNumbers(rows: readonly MyRow[], fields: readonly Field[]): readonly MyRow[] {
  const names = fields.filter(({ columnType }) => numeric.has(columnType)).map(({ name }) => name)
  for (const name of names)
    for (const row of rows) if (typeof row[name] === 'string') row[name] = Number(row[name])
  return rows
}

/** The library takes bytes only as a Buffer. */
function bindable(value: MyValue): MyValue {
  return value instanceof Uint8Array && !Buffer.isBuffer(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value
}
