import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Less than a test may take: the test cannot end what it waits for. */
const withinMs = 200_000

/**
 * Runs `npm run case -- N --json`, on what was built before. Answers the object of its last line.
 * @throws Error with all that it printed unless its exit status is 0
 */
export function runCase(number: number): unknown {
  const program = join(import.meta.dirname, 'main.ts')
  const args = [program, String(number), '--json']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: withinMs,
  })
  if (status !== 0) throw new Error(`exit status ${status}\n${stdout}${stderr}`)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
}
