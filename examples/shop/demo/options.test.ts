import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { generateOrders } from '../orders.ts'
import { readOptions } from './options.ts'

let folder = ''
let input = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'waybill-shop-options-'))
  input = join(folder, 'orders.jsonl')
  writeFileSync(
    input,
    '{"id":"a","userId":"u","amount":1}\n{"id":"b","userId":"u","amount":2,"rollback":true}\n',
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

test('without options a thousand seeded orders meet twenty kills', () => {
  const options = readOptions([])
  expect(options).toEqual({
    orders: generateOrders(1000, 1),
    kills: 20,
    seed: 1,
    database: 'sqlite',
    skipNaive: false,
    json: false,
    keep: false,
  })
})

test('the input is used whole, or as many of its first orders as asked for', () => {
  expect(readOptions(['--input', input])?.orders.map(({ id }) => id)).toEqual(['a', 'b'])
  expect(readOptions(['--input', input, '--orders', '1'])?.orders.map(({ id }) => id)).toEqual(['a'])
})

test.each([
  'sqlite',
  'postgres',
  'mariadb',
  'postgres://me:secret@127.0.0.1:5432/postgres?sslmode=disable',
  'mysql://me@127.0.0.1/test',
])('a database is a name or the URL of a server: %s', (database) => {
  expect(readOptions(['--database', database])).toMatchObject({ database })
})

test('help is printed and nothing runs', () => {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    expect(readOptions(['--help'])).toBeUndefined()
    expect(write).toHaveBeenCalledWith(expect.stringContaining('--kills'))
  } finally {
    write.mockRestore()
  }
})

test.each([
  [['--orders', '0']],
  [['--orders', 'many']],
  [['--orders', '1.5']],
  [['--kills', '-1']],
  [['--seed', '4294967296']],
  [['--orders']],
  [['--kill', '3']],
  [['--database', 'oracle']],
  [['--database', 'sqlite:shop.db']],
  [['orders.jsonl']],
])('bad usage is refused: %j', (args) => {
  expect(() => readOptions(args)).toThrow(expect.objectContaining({ code: 'usage.bad-option' }))
})

test('an input that cannot be read is refused with its path', () => {
  const missing = join(folder, 'missing.jsonl')
  expect(() => readOptions(['--input', missing])).toThrow(
    expect.objectContaining({ code: 'input.unreadable', message: expect.stringContaining(missing) }),
  )
})
