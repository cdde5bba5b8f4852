import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const program = join(import.meta.dirname, 'demo.ts')

function demo(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' })
  return { status, out: stdout, err: stderr }
}

test('a small run passes: Waybill without fault, the naive side with all three', () => {
  const { status, out, err } = demo('--orders', '200', '--kills', '5', '--seed', '3', '--json')
  // A failure should show what the run printed, not only its status.
  expect(status === 0 ? 'passed' : out + err).toBe('passed')
  const result = JSON.parse(out.trimEnd().split('\n').at(-1) ?? '')
  expect(result).toMatchObject({
    orders: 200,
    committed: 180,
    groups: 5,
    kills: 5,
    passed: true,
    problems: [],
  })
  expect(result.waybill).toMatchObject({ once: 900, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 })
  expect(result.naive.lost).toBeGreaterThan(0)
  expect(result.naive.duplicate).toBeGreaterThan(0)
  expect(result.naive.phantom).toBeGreaterThan(0)
})

test.each([
  ['usage.bad-option', ['--orders', 'many']],
  ['input.unreadable', ['--input', join(import.meta.dirname, 'missing.jsonl')]],
])('wrong usage ends with status 2 and %s, and runs nothing', (code, args) => {
  const { status, out, err } = demo(...args)
  expect(status).toBe(2)
  expect(out).toBe('')
  expect(err).toMatch(new RegExp(`^${code}: `))
})
