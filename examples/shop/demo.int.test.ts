import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { requireService, serviceNames } from '../../scripts/services/index.ts'
import { ask } from '../../scripts/services/services-fixture.ts'

const program = join(import.meta.dirname, 'demo.ts')
/** Processes by the dozen: on a machine that is busy with other things, that takes its time. */
const withinMs = 300_000
const smallRun = ['--orders', '200', '--kills', '5', '--seed', '3', '--json']

interface Ended {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** Not `spawnSync`: the worker would be deaf for half a minute. */
function demo(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...args], (_failed, out, err) =>
      resolve({ status: child.exitCode ?? -1, out, err }),
    )
  })
}

function expectPassed({ status, out, err }: Ended): {
  readonly naive?: Readonly<Record<'lost' | 'duplicate' | 'phantom', number>>
} {
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
  return result
}

test(
  'a small run passes on SQLite: Waybill without fault, the naive side with all three',
  { timeout: withinMs },
  async () => {
    const { naive } = expectPassed(await demo(...smallRun))
    expect(naive?.lost).toBeGreaterThan(0)
    expect(naive?.duplicate).toBeGreaterThan(0)
    expect(naive?.phantom).toBeGreaterThan(0)
  },
)

for (const name of serviceNames) {
  const found = await requireService(name)
  describe.skipIf('skipped' in found)(`on ${name}`, () => {
    const { url } = found as { url: string }
    const listQuery = 'select schema_name as name from information_schema.schemata'
    const list = name === 'postgres' ? 'select datname as name from pg_database' : listQuery

    test(
      'a small run passes with a database for each service, and leaves none of them',
      { timeout: withinMs },
      async () => {
        const ended = await demo(...smallRun, '--skip-naive', '--database', name)
        expectPassed(ended)
        const prefix = /waybill_shop_[0-9a-f]+_/.exec(ended.out)?.[0]
        expect(prefix).toBeDefined()
        const names = (await ask(name, url, list)).map((row) => String(row['name']))
        expect(names.filter((left) => left.startsWith(prefix!))).toEqual([])
      },
    )
  })
}

test.each([
  ['usage.bad-option', ['--orders', 'many']],
  ['input.unreadable', ['--input', join(import.meta.dirname, 'missing.jsonl')]],
  ['database.unreachable', ['--database', 'postgres://nobody@127.0.0.1:1/none']],
  ['database.unreachable', ['--database', 'mysql://nobody@127.0.0.1:1/none']],
])('wrong usage ends with status 2 and %s, and runs nothing', async (code, args) => {
  const { status, out, err } = await demo(...args)
  expect(status).toBe(2)
  expect(out).toBe('')
  expect(err).toMatch(new RegExp(`^${code}: `))
})
