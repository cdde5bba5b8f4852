import { expect, test } from 'vitest'
import { encodeJson } from './json.ts'

test.each([
  null,
  true,
  0,
  -1.5,
  'text',
  '',
  [],
  {},
  [1, [2, { a: null }]],
  { a: { b: ['😀', '\u0000', '\ud800'] } },
  Object.assign(Object.create(null), { a: 1 }),
])('a body of plain JSON values survives the round trip: %j', (body) => {
  expect(JSON.parse(encodeJson(body))).toEqual(body)
})

const shared = { again: 1 }

test('the same object twice is no cycle', () => {
  expect(JSON.parse(encodeJson({ a: shared, b: shared }))).toEqual({ a: { again: 1 }, b: { again: 1 } })
})

const cycle: { self?: unknown } = {}
cycle.self = cycle
const sparse: number[] = []
sparse[3] = 1
let deep: unknown = 1
for (let i = 0; i < 300; i++) deep = [deep]

test.each<[string, unknown, string]>([
  ['undefined', undefined, 'its root'],
  ['undefined inside', { a: { b: undefined } }, 'a.b'],
  ['NaN', { price: NaN }, 'price'],
  ['Infinity', [1, Infinity], '[1]'],
  ['bigint', { id: 1n }, 'id'],
  ['a Date', { at: new Date(0) }, 'at'],
  ['a Map', { map: new Map() }, 'map'],
  ['a function', { run: () => 1 }, 'run'],
  ['a symbol', { s: Symbol('s') }, 's'],
  ['a symbol property', { [Symbol('s')]: 1 }, 'its root'],
  ['a class instance', { e: new URL('https://example.com') }, 'e'],
  ['bytes', { b: new Uint8Array(2) }, 'b'],
  ['toJSON', { o: { toJSON: () => 'other' } }, 'o'],
  ['a cycle', { cycle }, 'cycle.self'],
  ['a sparse array', { list: sparse }, 'list'],
  ['too deep nesting', deep, '[0]'],
])('%s would not survive it and is refused with its path', (_, body, path) => {
  expect(() => encodeJson(body)).toThrow(
    expect.objectContaining({ code: 'message.body-not-json', message: expect.stringContaining(path) }),
  )
})
