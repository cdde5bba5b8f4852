import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { requireInstalled } from '../scripts/services/index.ts'

const postgres = await requireInstalled('postgres')
const main = fileURLToPath(new URL('main.ts', import.meta.url))

interface Report {
  readonly quick: boolean
  readonly environment: Record<string, unknown>
  readonly settings: Record<string, Record<string, unknown>>
  readonly figures: Record<string, { n: number; median: number; min: number; max: number; values: number[] }>
  readonly goals: { figure: string; verdict: string }[]
  readonly ratios: Record<string, number>
}

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
}

test('the SQLite bench measures everything that has a goal, and ends with one JSON object', () => {
  const { status, stdout, stderr } = bench('sqlite', '--quick', '--json')
  expect(stderr).not.toContain('"level":"error"')
  expect(status).toBe(0)
  const lines = stdout.trimEnd().split('\n')
  const report = JSON.parse(lines.at(-1)!) as Report

  expect(report.quick).toBe(true)
  expect(report.environment).toMatchObject({ node: process.versions.node, cores: expect.any(Number) })
  expect(report.settings['sqlite']).toMatchObject({ synchronous: 'full', journalMode: 'wal' })
  expect(report.goals.map((goal) => goal.figure).toSorted()).toEqual([
    'sqlite.drain.batch-100b',
    'sqlite.drain.batch-1kib',
    'sqlite.history.ratio',
    'sqlite.latency.one-process-p50',
    'sqlite.latency.own-handle-p50',
    'sqlite.latency.two-processes-p50',
    'sqlite.memory.drain-growth',
    'sqlite.memory.drain-growth-warm',
    'sqlite.memory.publish-growth',
    'sqlite.memory.publish-growth-warm',
    'sqlite.transaction.slow-down',
  ])
  for (const { figure, verdict } of report.goals) {
    expect(report.figures).toHaveProperty([figure])
    expect(['met', 'missed', 'inconclusive']).toContain(verdict)
  }
  for (const { n, median, min, max, values } of Object.values(report.figures)) {
    expect(values).toHaveLength(n)
    expect(values.every(Number.isFinite)).toBe(true)
    expect(min <= median && median <= max).toBe(true)
  }
  // The table has every figure too.
  expect(lines.filter((line) => / n=\d+/.test(line))).toHaveLength(Object.keys(report.figures).length)
})

test('the trace bench measures tracing by key and the books', () => {
  const { status, stdout } = bench('trace', '--quick', '--json')
  expect(status).toBe(0)
  const report = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Report
  expect(report.goals.map((goal) => goal.figure).toSorted()).toEqual([
    'trace.books.ledger',
    'trace.key.p50',
    'trace.key.p99',
  ])
})

test('the half and delay benches measure with a million waiting and with none', () => {
  const { status, stdout, stderr } = bench('half', 'delay', '--quick', '--json')
  expect(stderr).not.toContain('"level":"error"')
  expect(status).toBe(0)
  const report = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Report
  expect(report.settings['half']).toMatchObject({ synchronous: 'full', journalMode: 'wal' })
  expect(report.settings['delay']).toMatchObject({ synchronous: 'full', journalMode: 'wal' })
  const measures = ['delay.due', 'delay.scattered', 'half.check-back', 'half.producer']
  expect(report.goals.map((goal) => goal.figure).toSorted()).toEqual(
    measures.map((measure) => `${measure}.ratio`),
  )
  for (const measure of measures)
    for (const figure of ['empty', 'waiting', 'control', 'ratio'])
      expect(report.figures[`${measure}.${figure}`]!.values.every((value) => value > 0)).toBe(true)
})

test.skipIf('skipped' in postgres)('the peers bench lets measures be chosen, and gives their ratios', () => {
  const { status, stdout, stderr } = bench(
    'peers/drain',
    'peers/transaction',
    '--quick',
    '--rounds',
    '1',
    '--json',
  )
  expect(stderr).not.toContain('"level":"error"')
  expect(status).toBe(0)
  const report = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Report
  expect(report.settings['peers']).toMatchObject({
    postgres: { fsync: 'on', synchronous_commit: 'on' },
    'pg-boss': { version: expect.any(String) },
    'graphile-worker': { version: expect.any(String) },
  })
  expect(report.ratios).toEqual({
    drain: expect.any(Number),
    publishOverBareInsert: expect.any(Number),
  })
  for (const contestant of ['waybill-relay', 'pg-boss', 'graphile-worker'])
    expect(report.figures[`peers.drain.${contestant}`]).toMatchObject({ n: 1, median: expect.any(Number) })
})

test('a bench that does not exist ends with status 2 and the names of those that do', () => {
  const { status, stdout, stderr } = bench('oracle')
  expect(status).toBe(2)
  expect(stdout).toBe('')
  expect(stderr).toContain('there is no bench "oracle"; there are: sqlite, trace, half, delay')
})

test('a measure that does not exist ends with status 2 and the names of those that do', () => {
  const { status, stderr } = bench('sqlite', '--only', 'speed')
  expect(status).toBe(2)
  expect(stderr).toContain(
    'there is no measure "speed"; there are: transaction, drain, latency, memory, history',
  )
})

test('a measure of a bench that it does not have ends with status 2 and the names of those that it has', () => {
  const { status, stderr } = bench('peers/speed')
  expect(status).toBe(2)
  expect(stderr).toContain('there is no measure "speed"; there are: drain, receipts, end-to-end')
})

test('an unknown option ends with status 2', () => {
  const { status, stderr } = bench('sqlite', '--fast')
  expect(status).toBe(2)
  expect(stderr).toContain("unknown option '--fast'")
})
