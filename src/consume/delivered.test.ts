import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { MessageId } from '../core/ids.ts'
import type { LoggedMessage } from '../core/message.ts'
import { toMessage, toUnreadMessage } from './delivered.ts'

const body = { orderId: 'order-1', items: [{ sku: 'sku-1' }] }
const expected = {
  id: 'm-1',
  service: 'order',
  topic: 'order.paid',
  tag: 'vip',
  key: 'order-1',
  shardingKey: undefined,
  headers: { trace: 't-1' },
  body,
  publishedAt: new Date(5),
}

describe.each([
  ['whose body is not read yet', () => toUnreadMessage(logged())],
  ['whose body is there', () => toMessage(logged(), body)],
])('a message %s', (_, delivered) => {
  test('is like any object with a body: to compare, spread, write out, clone and look at', () => {
    expect(delivered()).toEqual(expected)
    expect({ ...delivered() }).toEqual(expected)
    expect(JSON.parse(JSON.stringify(delivered()))).toEqual(JSON.parse(JSON.stringify(expected)))
    expect(structuredClone(delivered())).toEqual(expected)
    expect(Object.keys(delivered())).toContain('body')
    expect(inspect(delivered())).toContain("orderId: 'order-1'")
  })

  test('has one body, whoever reads it', () => {
    const message = delivered()
    expect(message.body).toBe(message.body)
  })
})

describe('a message whose body is not read yet', () => {
  test('parses no body that nobody reads', () => {
    expect(toUnreadMessage(logged('{"orderId":')).key).toBe('order-1')
  })

  test('message.body-invalid: says so to whoever reads what is not JSON', () => {
    const message = toUnreadMessage(logged('{"orderId":'))
    expect(() => message.body).toThrow(expect.objectContaining({ code: 'message.body-invalid' }))
  })
})

function logged(text = JSON.stringify(body)): LoggedMessage {
  return {
    id: 'm-1' as MessageId,
    service: 'order',
    topic: 'order.paid',
    tag: 'vip',
    key: 'order-1',
    shardingKey: null,
    headers: { trace: 't-1' },
    body: text,
    bodyHash: '',
    publishedAt: 5,
    eligibleAt: 5,
    queue: 0,
    position: 1,
    source: null,
  }
}
