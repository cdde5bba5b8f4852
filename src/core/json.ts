import { WaybillError } from './errors.ts'

/** A value that comes back from JSON as it went in. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

const depthMax = 200

/**
 * Writes a body as JSON and refuses what would not survive the round trip: undefined, NaN, Infinity, bigint, Date, Map, class
 * instances, sparse arrays, functions, cycles. JSON.stringify alone would drop or change them without a word.
 *
 * @throws WaybillError `message.body-not-json`, with the path of the first offender
 */
export function encodeJson(value: unknown): string {
  const fault = isSound(value, 0) ? undefined : findFault(value, '', [])
  if (fault !== undefined) {
    throw new WaybillError(
      'message.body-not-json',
      `the body cannot be stored as JSON: ${fault.what} at ${fault.path === '' ? 'its root' : fault.path}; convert it first (a Date to a string, a Map to an object)`,
      { path: fault.path },
    )
  }
  return JSON.stringify(value)
}

/**
 * The quick answer for the many bodies that are sound: without paths, which cost more than writing the JSON. A cycle ends at the
 * depth limit. `findFault` has the last word on whatever is not sound.
 */
function isSound(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value)
    case 'object':
      return value === null || (depth < depthMax && isSoundInside(value, depth + 1))
    default:
      return false
  }
}

function isSoundInside(value: object, depth: number): boolean {
  if (Array.isArray(value))
    return Object.keys(value).length === value.length && value.every((inner) => isSound(inner, depth))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return false
  if (Object.getOwnPropertySymbols(value).length > 0) return false
  // Twice as fast as a list of the keys, and whoever gave Object.prototype an enumerable one gets the slow answer.
  for (const key in value) if (!isSound((value as Record<string, unknown>)[key], depth)) return false
  return true
}

interface Fault {
  readonly path: string
  readonly what: string
}

function findFault(value: unknown, path: string, ancestors: object[]): Fault | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined
    case 'number':
      return Number.isFinite(value) ? undefined : { path, what: String(value) }
    case 'object':
      return value === null ? undefined : findFaultInside(value, path, ancestors)
    default:
      return { path, what: typeof value === 'undefined' ? 'undefined' : `a ${typeof value}` }
  }
}

function findFaultInside(value: object, path: string, ancestors: object[]): Fault | undefined {
  if (ancestors.includes(value)) return { path, what: 'a cycle' }
  if (ancestors.length >= depthMax) return { path, what: `nesting deeper than ${depthMax}` }
  ancestors.push(value)
  try {
    return Array.isArray(value)
      ? findFaultInArray(value, path, ancestors)
      : findFaultInObject(value, path, ancestors)
  } finally {
    ancestors.pop()
  }
}

function findFaultInArray(value: readonly unknown[], path: string, ancestors: object[]): Fault | undefined {
  if (Object.keys(value).length !== value.length)
    return { path, what: 'a sparse array or one with extra properties' }
  for (let i = 0; i < value.length; i++) {
    const fault = findFault(value[i], `${path}[${i}]`, ancestors)
    if (fault) return fault
  }
  return undefined
}

function findFaultInObject(value: object, path: string, ancestors: object[]): Fault | undefined {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    return {
      path,
      what: `a ${(value as { constructor?: { name?: string } }).constructor?.name ?? 'class instance'}`,
    }
  }
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function')
    return { path, what: 'an object with toJSON' }
  if (Object.getOwnPropertySymbols(value).length > 0) return { path, what: 'a symbol property' }
  for (const [key, inner] of Object.entries(value)) {
    const fault = findFault(inner, path === '' ? key : `${path}.${key}`, ancestors)
    if (fault) return fault
  }
  return undefined
}
