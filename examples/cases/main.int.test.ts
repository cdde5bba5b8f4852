import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

test.each([[[]], [['6']], [['nonsense']], [['1', '2']], [['1', '--nonsense']]])(
  'wrong usage (%j) ends with status 2 and runs nothing',
  (args: string[]) => {
    const program = join(import.meta.dirname, 'main.ts')
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' })
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toContain('npm run case -- N [--json]')
  },
)
