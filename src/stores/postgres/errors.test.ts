import { expect, test } from 'vitest'
import { coded, codedAtCommit, codedOfWork } from './errors.ts'

/** As Drizzle wraps what pg throws. */
function wrapped(code: string): Error {
  const cause = Object.assign(new Error(`said by the server: ${code}`), { code })
  return Object.assign(new Error('Failed query: select $1\nparams: a secret', { cause }), {
    query: 'select $1',
    params: ['a secret'],
  })
}

test.each(['40001', '40P01', '55P03'])(
  'P7: %s passes by itself, and its parameters are not told',
  (state) => {
    const error = codedOfWork(wrapped(state))
    expect(error).toMatchObject({ code: 'store.busy', facts: { sqlState: state } })
    expect((error as Error).message).not.toContain('secret')
  },
)

test('a connection that broke in COMMIT leaves it open, and its parameters are not told', () => {
  const error = codedAtCommit(wrapped('ECONNRESET'))
  expect(error).toMatchObject({ code: 'store.commit-unknown' })
  expect((error as Error).message).not.toContain('secret')
})

test('a statement of the user’s that takes too long stays their failure, one of Waybill’s own does not', () => {
  const tooLong = wrapped('57014')
  expect(codedOfWork(tooLong)).toBe(tooLong)
  expect(coded(tooLong)).toMatchObject({ code: 'store.busy' })
})
