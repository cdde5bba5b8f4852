import { expect, test } from 'vitest'
import { formatOrders, generateOrders, parseOrders } from './orders.ts'

test('the same seed gives the same orders, another seed gives others', () => {
  expect(generateOrders(200, 5)).toEqual(generateOrders(200, 5))
  expect(generateOrders(200, 5)).not.toEqual(generateOrders(200, 6))
})

test('exactly a tenth of the orders rolls back, and at least one', () => {
  const rollbacks = (count: number): number =>
    generateOrders(count, 9).filter((order) => order.rollback).length
  expect(rollbacks(1000)).toBe(100)
  expect(rollbacks(200)).toBe(20)
  expect(rollbacks(3)).toBe(1)
})

test('every order has its own id, and users have several orders', () => {
  const orders = generateOrders(400, 1)
  expect(new Set(orders.map(({ id }) => id)).size).toBe(400)
  expect(new Set(orders.map(({ userId }) => userId)).size).toBeLessThanOrEqual(100)
})

test('orders survive being written and read', () => {
  const orders = generateOrders(50, 2)
  expect(parseOrders(formatOrders(orders))).toEqual(orders)
})

test('rollback may be left out, and blank lines and Windows line ends do no harm', () => {
  const text =
    '{"id":"a","userId":"u","amount":1}\r\n\n{"id":"b","userId":"u","amount":0.5,"rollback":true}\n'
  expect(parseOrders(text)).toEqual([
    { id: 'a', userId: 'u', amount: 1, rollback: false },
    { id: 'b', userId: 'u', amount: 0.5, rollback: true },
  ])
})

const good = '{"id":"a","userId":"u","amount":1}'

test.each([
  ['input.empty', '\n \n', 'no orders'],
  ['input.not-json', `${good}\n{"id":`, 'line 2'],
  ['input.not-object', '[1]', 'line 1'],
  ['input.not-object', 'null', 'line 1'],
  ['input.id-invalid', '{"userId":"u","amount":1}', '"id"'],
  ['input.id-invalid', '{"id":"","userId":"u","amount":1}', '"id"'],
  ['input.id-invalid', `{"id":"${'订'.repeat(86)}","userId":"u","amount":1}`, '255 bytes'],
  ['input.id-invalid', '{"id":7,"userId":"u","amount":1}', '"id"'],
  ['input.user-invalid', '{"id":"a","amount":1}', '"userId"'],
  ['input.amount-invalid', '{"id":"a","userId":"u","amount":"1"}', '"amount"'],
  ['input.amount-invalid', '{"id":"a","userId":"u","amount":-1}', '"amount"'],
  ['input.amount-invalid', '{"id":"a","userId":"u","amount":1e999}', '"amount"'],
  ['input.rollback-invalid', '{"id":"a","userId":"u","amount":1,"rollback":"yes"}', '"rollback"'],
  ['input.field-unknown', '{"id":"a","userId":"u","amount":1,"rolback":true}', '"rolback"'],
  ['input.id-repeated', `${good}\n\n${good}`, 'line 3: "a" is on line 1'],
])('bad input is refused with %s', (code, text, explanation) => {
  expect(() => parseOrders(text)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(explanation) }),
  )
})
