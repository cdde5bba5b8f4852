import type { MyValue } from './driver.ts'

/** A statement or a part of one, with what is bound to it. */
export interface Sql {
  readonly text: string
  readonly params: readonly MyValue[]
}

/** Parts stand where they are written; all other values are bound. */
export function sql(strings: TemplateStringsArray, ...values: readonly (Sql | MyValue)[]): Sql {
  let text = strings[0]!
  const params: MyValue[] = []
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

function isSql(value: Sql | MyValue): value is Sql {
  return typeof value === 'object' && value !== null && 'text' in value
}
