import { describe, expect, it } from 'vitest'
import { summarize } from './run-tests.ts'

const report = (counts: { passed?: number; failed?: number; pending?: number; todo?: number }) => ({
  numPassedTests: counts.passed ?? 0,
  numFailedTests: counts.failed ?? 0,
  numPendingTests: counts.pending ?? 0,
  numTodoTests: counts.todo ?? 0,
  testResults: [],
})

describe('the last line of a test run', () => {
  it('counts what passed and what failed', () => {
    expect(summarize(report({ passed: 3 }), 0, false)).toMatchObject({
      line: '3 passed, 0 failed',
      exitCode: 0,
    })
    expect(summarize(report({ passed: 3, failed: 1 }), 1, false)).toMatchObject({
      line: '3 passed, 1 failed',
      exitCode: 1,
    })
  })

  it('names skipped tests, and fails for them only where all are required', () => {
    const skipped = report({ passed: 3, pending: 1, todo: 1 })
    expect(summarize(skipped, 0, false)).toMatchObject({ line: '3 passed, 0 failed, 2 skipped', exitCode: 0 })
    expect(summarize(skipped, 0, true)).toMatchObject({ line: '3 passed, 0 failed, 2 skipped', exitCode: 1 })
  })

  it('lists promises that do not apply apart from skipped tests', () => {
    const title = 'P5: a partition is dropped (not claimed: it has none)'
    const file = {
      status: 'passed',
      assertionResults: [
        { status: 'pending', title },
        { status: 'pending', title: 'other' },
      ],
    }
    const summary = summarize({ ...report({ passed: 3, pending: 2 }), testResults: [file] }, 0, true)
    expect(summary).toEqual({
      line: '3 passed, 0 failed, 1 skipped',
      exitCode: 1,
      notClaimed: [title],
      failures: [],
    })
  })

  it('says last what failed and why', () => {
    const file = {
      name: `${process.cwd()}/src/some.test.ts`,
      status: 'failed',
      assertionResults: [
        {
          status: 'failed',
          title: 'b',
          fullName: 'a b',
          failureMessages: [`expected 1 to be 2${'\n at x'.repeat(30)}`],
        },
        { status: 'passed', title: 'c', fullName: 'a c' },
      ],
    }
    const broken = {
      name: 'other.test.ts',
      status: 'failed',
      message: 'no such module',
      assertionResults: [],
    }
    const { failures } = summarize({ ...report({ failed: 1 }), testResults: [file, broken] }, 1, false)
    expect(failures).toHaveLength(2)
    expect(failures[0]).toMatch(/^failed: src\/some\.test\.ts > a b\nexpected 1 to be 2\n at x/)
    expect(failures[0]?.split('\n')).toHaveLength(16)
    expect(failures[1]).toMatch(/other\.test\.ts\nno such module$/)
  })

  it('fails when no test ran', () => {
    expect(summarize(report({}), 0, false)).toMatchObject({ line: '0 passed, 0 failed', exitCode: 1 })
    expect(summarize(report({ pending: 2 }), 0, false).exitCode).toBe(1)
  })

  it('fails when vitest died without a report', () => {
    expect(summarize(undefined, 0, false).exitCode).toBe(1)
    expect(summarize(undefined, 137, false).exitCode).toBe(137)
  })

  it('counts a test file that does not load as failed', () => {
    const broken = { ...report({ passed: 3 }), testResults: [{ status: 'failed', assertionResults: [] }] }
    expect(summarize(broken, 1, false)).toMatchObject({ line: '3 passed, 1 failed', exitCode: 1 })
  })
})
