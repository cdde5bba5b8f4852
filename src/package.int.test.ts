/** What the documents tell people to type, typed: an empty folder, `npm install`, and their programs as they stand. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks } from '../scripts/markdown.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'
import { until } from './testing/until.ts'

const programTimeoutMs = 60_000
const folder = temporaryFolder()
const running: ChildProcess[] = []

beforeAll(() => {
  // `npm test` has built it; alone, this test builds what is not there.
  if (!existsSync('dist/index.js')) npm('run', 'build')
  npm('pack', '--ignore-scripts', '--silent', '--pack-destination', folder.path)
  const tarball = readdirSync(folder.path).find((name) => name.endsWith('.tgz'))!
  npm('install', folder.file(tarball), '--prefix', folder.path, '--no-audit', '--no-fund', '--prefer-offline')
})

afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
  folder.remove()
})

test.each(['README.md', 'README.zh-CN.md'])(
  'the quick start of %s runs as it stands, again and again',
  (file) => {
    const { run } = unpack(file)
    for (let i = 0; i < 2; i++) expect(run('quickstart.mts')).toMatch(/^order-\d+: 1 red packet, done\n$/)
  },
)

test('the tutorial goes as it says, with a dead letter, a redrive and a kill', async () => {
  const { run, start, path } = unpack('docs/tutorial/first-service.md')
  const database = ['--database', 'shop=sqlite:shop.db']
  const waybill = (...args: readonly string[]): string =>
    run(folder.file('node_modules/waybill/dist/cli/main.js'), ...args, ...database)

  expect(run('pay.mts', 'order-1')).toBe('order-1 is paid\n')
  expect(run('pay.mts', 'order-2', 'declined')).toBe('order-2 is not paid: the bank declined\n')
  expect(waybill('search', 'order-1')).toContain('no group reads it here')
  expect(waybill('search', 'order-2')).toBe('nothing found\n')

  const packets = start('packets.mts')
  await packets.says('red packet for order-1, delivery 1')
  expect(waybill('search', 'order-1')).toContain('red-packet: done')

  writeFileSync(join(path, 'provider-is-down'), '')
  run('pay.mts', 'order-3')
  await until('it is dead', () => waybill('dead', 'list').includes('handler.retries-exhausted'))
  expect(waybill('dead', 'list')).toContain('the provider is down')
  rmSync(join(path, 'provider-is-down'))
  const why = ['--because', 'the provider is back']
  expect(waybill('dead', 'redrive', '--key', 'order-3', ...why)).toBe('redriven: 1\n')
  await packets.says('red packet for order-3, delivery 1')

  packets.kill('SIGKILL')
  run('pay.mts', 'order-4')
  const again = start('packets.mts')
  await again.says('red packet for order-4, delivery 1')
  await again.stops('SIGINT')
})

test('two services, each with its own database, reach each other as the how-to says', async () => {
  const { run, start } = unpack('docs/how-to/two-services.md')
  const coupon = start('coupon.mts')
  await coupon.says('ready')
  expect(run('order.mts', 'order-1')).toBe('order-1 paid\n')
  await coupon.says('coupon for order-1')
  await coupon.stops('SIGTERM')
})

test('the test of a handler in the how-to passes', () => {
  expect(unpack('docs/how-to/test-your-handlers.md').run('--test', 'handlers.test.mts')).toMatch(/pass 1\n/)
})

interface Service {
  /** Waits for a line on its standard output. */
  says(line: string): Promise<void>
  kill(signal: 'SIGKILL'): void
  /** Asks it to stop, and waits until it ended by itself. */
  stops(signal: 'SIGINT' | 'SIGTERM'): Promise<void>
}

/** Writes a document's programs into a folder of their own, below the one in which the package is installed. */
function unpack(document: string): {
  readonly path: string
  run(...args: readonly string[]): string
  start(file: string): Service
} {
  const path = folder.file(document.replaceAll('/', '-'))
  mkdirSync(path)
  const programs = codeBlocks(document).filter(({ file }) => file !== undefined)
  expect(programs, `${document} has programs to run`).not.toEqual([])
  for (const { file, text } of programs) writeFileSync(join(path, file!), `${text}\n`)
  return { path, run: (...args) => runIn(path, args), start: (file) => startIn(path, file) }
}

function runIn(cwd: string, args: readonly string[]): string {
  const options = { cwd, encoding: 'utf8', timeout: programTimeoutMs } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options)
  expect(status, `node ${args.join(' ')} said: ${stdout}${stderr}`).toBe(0)
  return stdout
}

function startIn(cwd: string, file: string): Service {
  const child = spawn(process.execPath, [file], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  running.push(child)
  let said = ''
  let complained = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text))
  return {
    says: async (line) => {
      try {
        await until(`${file} says ${line}`, () => said.split('\n').includes(line), programTimeoutMs)
      } catch (cause) {
        throw new Error(`${file} did not say ${line}, but: ${said}${complained}`, { cause })
      }
    },
    kill: (signal) => void child.kill(signal),
    stops: async (signal) => {
      child.kill(signal)
      const [code] = (await once(child, 'exit')) as [number | null]
      expect(code, `it said: ${complained}`).toBe(0)
    },
  }
}

function npm(...args: readonly string[]): void {
  const { status, stderr, stdout } = spawnSync('npm', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed:\n${stdout}${stderr}`)
}
