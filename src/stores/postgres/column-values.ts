import type { PgValue } from './driver.ts'
import { messageColumns } from './rows.ts'

const columns = messageColumns.split(', ')
const types: Readonly<Record<string, string>> = {
  queue: 'integer',
  body_binary: 'bytea',
  published_at: 'bigint',
  eligible_at: 'bigint',
  source_queue: 'integer',
  source_pos: 'bigint',
}

export interface ColumnValues {
  readonly select: string
  readonly params: readonly PgValue[]
}

/**
 * Messages, each with its values in the order of `messageColumns`, as a query for as many rows in their order. A column in which all
 * have the same value is one parameter, any other an array. On 1 KiB messages half as dear for the server as a JSON parameter.
 */
export function columnsOf(rows: readonly (readonly PgValue[])[]): ColumnValues {
  const [first] = rows as [readonly PgValue[]]
  const params: PgValue[] = []
  const selected = columns.map((column, i) => {
    const type = types[column] ?? 'text'
    const values = rows.map((row) => row[i]!)
    if (values.every((value) => value === first[i])) {
      params.push(first[i]!)
      return `?::${type}`
    }
    if (column === 'body' && values.every((value) => typeof value === 'string')) {
      params.push(...slicesOf(values))
      return sliced
    }
    params.push(arrayLiteral(values))
    return unnested(type)
  })
  return { select: `select ${selected.join(', ')}`, params }
}

/** Text first: not every driver can be told that a parameter is an array. */
const unnested = (type: string): string => `unnest((?::text)::${type}[])`

/** Long texts, one after the other: as an array every character of theirs would be looked at for whether it is escaped. */
const sliced = `convert_from(substring(?::bytea from ${unnested('integer')} for ${unnested('integer')}), 'UTF8')`

function slicesOf(texts: readonly string[]): readonly PgValue[] {
  const lengths = texts.map((text) => Buffer.byteLength(text))
  let next = 1
  const starts = lengths.map((length) => (next += length) - length)
  return [Buffer.from(texts.join('')), arrayLiteral(starts), arrayLiteral(lengths)]
}

/** An array as PostgreSQL writes it. */
export function arrayLiteral(values: readonly PgValue[]): string {
  return `{${values.map(elementOf).join(',')}}`
}

function elementOf(value: PgValue): string {
  if (value === null) return 'NULL'
  if (typeof value === 'string') return `"${value.replaceAll(/["\\]/g, (special) => `\\${special}`)}"`
  if (value instanceof Uint8Array) return `"\\\\x${hex(value)}"`
  return String(value)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
