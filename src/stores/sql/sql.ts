/** Values that cross every driver alike. JSON travels as text; 64-bit integers come back as numbers. */
export type SqlValue = string | number | boolean | null | Uint8Array
export type SqlRow = Record<string, any>

/** A statement or a part of one, with what is bound to it. */
export interface Sql {
  readonly text: string
  readonly params: readonly SqlValue[]
}

/** Parts stand where they are written; all other values are bound. */
export function sql(strings: TemplateStringsArray, ...values: readonly (Sql | SqlValue)[]): Sql {
  let text = strings[0]!
  const params: SqlValue[] = []
  for (const [i, value] of values.entries()) {
    const isPart = isSql(value)
    text += (isPart ? value.text : '?') + strings[i + 1]!
    params.push(...(isPart ? value.params : [value]))
  }
  return { text, params }
}

/** SQL of the store's own making, with nothing to bind. */
export function raw(text: string): Sql {
  return { text, params: [] }
}

export function joined(parts: readonly Sql[], between: string): Sql {
  return {
    text: parts.map(({ text }) => text).join(between),
    params: parts.flatMap(({ params }) => params),
  }
}

function isSql(value: Sql | SqlValue): value is Sql {
  return typeof value === 'object' && value !== null && 'text' in value
}
