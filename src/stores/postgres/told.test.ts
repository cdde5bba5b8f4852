import { describe, expect, test } from 'vitest'
import { Told } from './told.ts'

const queue = { topic: 'order.paid', queue: 1 }
const json = JSON.stringify([
  told('order.paid', 1, 8, '"b"'),
  told('order.paid', 2, 7, '"of another queue"'),
  told('order.paid', 1, 7, '"a"'),
  told('order.placed', 1, 7, '"of another topic"'),
])

describe('the messages that a window told of', () => {
  test('are those of a queue after a place, in their order', () => {
    const rows = new Told(json).rowsOf(queue, 6, 8)
    expect(rows).toEqual([
      expect.objectContaining({ pos: 7, body: '"a"' }),
      expect.objectContaining({ pos: 8 }),
    ])
    expect(new Told(json).rowsOf(queue, 7, 8)).toHaveLength(1)
  })

  test.each([
    ['an earlier one is missing', json, 5, 8],
    ['a later one is missing', json, 6, 9],
    ['it told of none', null, 6, 8],
    ['one has a body that must be read', JSON.stringify([told('order.paid', 1, 7, null)]), 6, 7],
  ])('are to be read where %s', (_, of, after, end) => {
    expect(new Told(of).rowsOf(queue, after, end)).toBeUndefined()
  })
})

function told(topic: string, inQueue: number, pos: number, body: string | null): unknown[] {
  return [topic, inQueue, pos, `m-${pos}`, 'order', null, null, null, null, body, 5, 5]
}
