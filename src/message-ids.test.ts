import { expect, test } from 'vitest'
import { messageId } from './message-ids.ts'

const now = Date.UTC(2026, 10, 22)

test('ids are UUIDv7 of their time, each another, and sort in the order in which they were made', () => {
  const ids = Array.from({ length: 2_000 }, (_, n) => messageId(now + Math.floor(n / 700)))
  expect(ids).toEqual(ids.toSorted())
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of ids)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(Number.parseInt(ids[0]!.replace('-', '').slice(0, 12), 16)).toBe(now)
})

test('a clock that goes back makes no id that sorts before an earlier one', () => {
  const later = messageId(now + 60_000)
  expect(messageId(now) > later).toBe(true)
})
