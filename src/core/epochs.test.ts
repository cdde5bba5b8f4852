import { describe, expect, test } from 'vitest'
import { resumeAt } from './epochs.ts'

const cursor = { position: 50, start: 5, epoch: 'now', began: 20, previous: 'before' }

describe('where a reader goes on whose position is recorded twice', () => {
  test.each([
    ['the other side is behind: it was put back, and gets again what it lost', 'now', 30, 30],
    ['the other side is ahead: the log was put back, or the reader died in between', 'now', 70, 50],
    [
      'of the epoch before, beyond where that ended: those positions have other messages now',
      'before',
      40,
      20,
    ],
    ['of the epoch before, and behind even there', 'before', 10, 10],
    ['of a history that nobody knows any more: everything again', 'long ago', 40, 5],
    ['of a source that had no epochs: everything again', null, 40, 5],
  ])('P12, P13: %s', (_, epoch, position, expected) => {
    expect(resumeAt(cursor, { position, epoch })).toBe(expected)
  })

  test('P13: where nothing is recorded, from the start', () => {
    expect(resumeAt(cursor, undefined)).toBe(5)
  })
})
