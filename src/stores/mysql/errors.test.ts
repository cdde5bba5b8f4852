import { describe, expect, test } from 'vitest'
import { coded, codedAtCommit, codedOfWork } from './errors.ts'

/** As mysql2 throws it. */
function ofServer(errno: number): Error {
  return Object.assign(new Error(`said by the server: ${errno}`), { errno, sqlState: 'HY000' })
}

/** As Drizzle does. */
function wrapped(cause: Error): Error {
  return Object.assign(new Error('Failed query: select ?\nparams: a secret', { cause }), {
    query: 'select ?',
    params: ['a secret'],
  })
}

describe('an error that a tool has wrapped', () => {
  test.each([1205, 1213, 3572])('P7: %i passes by itself, and its parameters are not told', (errno) => {
    const error = codedOfWork(wrapped(ofServer(errno)))
    expect(error).toMatchObject({ code: 'store.busy', facts: { errno } })
    expect((error as Error).message).not.toContain('secret')
  })

  test('a statement of the user’s that takes too long stays their failure, one of Waybill’s own does not', () => {
    const tooLong = wrapped(ofServer(1969))
    expect(codedOfWork(tooLong)).toBe(tooLong)
    expect(coded(tooLong)).toMatchObject({ code: 'store.busy' })
  })

  test('a connection that broke in COMMIT leaves it open', () => {
    const lost = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
    const error = codedAtCommit(wrapped(lost))
    expect(error).toMatchObject({ code: 'store.commit-unknown' })
    expect((error as Error).message).not.toContain('secret')
  })
})

test('what is known to have failed before COMMIT was sent does not leave it open', () => {
  const known = coded(new Error('Connection lost: The server closed the connection.'))
  expect(known).toMatchObject({ code: 'store.io' })
  expect(codedAtCommit(known)).toBe(known)
})

test('an error of the user’s is theirs, whatever caused it', () => {
  const own = new Error('no stock', { cause: ofServer(1213) })
  expect(codedOfWork(own)).toBe(own)
})
