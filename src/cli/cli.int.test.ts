import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLog } from '../core/log.ts'
import { sqlite } from '../databases/sqlite.ts'
import { Waybill, fixedRetries, topic } from '../index.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
let folder: ReturnType<typeof temporaryFolder>

function run(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: folder.path,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

/** A database with one dead letter under the key order-1, and one handled message under order-2. */
async function withDeadLetter(): Promise<void> {
  const OrderPaid = topic<{ n: number }>('order.paid')
  const waybill = new Waybill({ service: 'order', database: sqlite(folder.file('order.db')), log: silentLog })
  waybill.consume(OrderPaid, { group: 'red-packet', retry: fixedRetries() }, (message) => {
    if (message.body.n === 1) throw new Error('no such user')
  })
  await waybill.start()
  await waybill.publishNow(OrderPaid, { key: 'order-1', body: { n: 1 } })
  await waybill.publishNow(OrderPaid, { key: 'order-2', body: { n: 2 } })
  await until(
    'both are settled',
    async () =>
      (await waybill.deadLetters.list()).length === 1 &&
      (await waybill.search({ state: 'done' })).length === 1,
  )
  await waybill.stop()
}

/** A database with one half message under the key order-1 that nobody has decided. Answers its id. */
async function withHalf(): Promise<string> {
  const OrderPaid = topic<{ n: number }>('order.paid')
  const waybill = new Waybill({ service: 'order', database: sqlite(folder.file('order.db')), log: silentLog })
  waybill.onCheckBack(OrderPaid, async () => 'unknown')
  const { id } = await waybill.publishHalf(
    OrderPaid,
    { key: 'order-1', body: { n: 1 } },
    async () => 'unknown',
  )
  await waybill.stop()
  return id
}

beforeEach(() => {
  folder = temporaryFolder()
})

afterEach(() => {
  folder.remove()
})

test('migrate creates the tables, says what it did, and has nothing to do the second time', () => {
  expect(run('migrate', '--database', 'order=sqlite:order.db')).toMatchObject({
    status: 0,
    stdout: 'order: schema 0 → 4\n',
  })
  expect(run('migrate', '--database', 'order=sqlite:order.db', '--json').stdout).toBe(
    `${JSON.stringify([{ name: 'order', url: 'sqlite:order.db', before: 4, now: 4 }])}\n`,
  )
})

test('migrate --print prints SQL that makes the same schema, and touches nothing', () => {
  const { status, stdout } = run('migrate', '--print', '--database', 'order=sqlite:order.db')
  expect(status).toBe(0)
  expect(existsSync(folder.file('order.db'))).toBe(false)
  const made = spawnSync(
    process.execPath,
    [
      '-e',
      "const {DatabaseSync}=require('node:sqlite');new DatabaseSync('by-hand.db').exec(require('node:fs').readFileSync(0,'utf8'))",
    ],
    { cwd: folder.path, input: stdout, encoding: 'utf8' },
  )
  expect(made.stderr).toBe('')
  expect(run('lag', '--database', 'order=sqlite:by-hand.db')).toMatchObject({
    status: 0,
    stdout: 'no readers\n',
  })
})

test('dead letters are listed, redriven and discarded, and only those that were asked for', async () => {
  await withDeadLetter()
  const database = ['--database', 'order=sqlite:order.db']
  expect(JSON.parse(run('dead', 'list', ...database, '--json').stdout)).toMatchObject([
    {
      database: 'order',
      group: 'red-packet',
      key: 'order-1',
      cause: 'handler.retries-exhausted',
      because: 'no such user',
    },
  ])
  expect(run('dead', 'redrive', ...database, '--because', 'fixed')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('--all'),
  })
  expect(run('dead', 'redrive', ...database, '--because', 'fixed', '--key', 'order-9').stdout).toBe(
    'redriven: 0\n',
  )
  expect(run('dead', 'redrive', ...database, '--because', 'fixed', '--key', 'order-1').stdout).toBe(
    'redriven: 1\n',
  )
  expect(run('dead', 'list', ...database).stdout).toBe('no dead letters\n')
})

test('half messages are listed by topic, key, id and state; show gives the body too', async () => {
  const id = await withHalf()
  const database = ['--database', 'order=sqlite:order.db']
  const list = (...filter: readonly string[]): string[] =>
    JSON.parse(run('half', 'list', ...database, ...filter, '--json').stdout).map(
      (half: { id: string }) => half.id,
    )
  expect(list()).toEqual([id])
  expect(list('--key', 'order-1', '--topic', 'order.paid', '--id', id, '--state', 'prepared')).toEqual([id])
  for (const filter of [
    ['--key', 'order-2'],
    ['--topic', 'order.sent'],
    ['--state', 'in-doubt'],
  ])
    expect(list(...filter)).toEqual([])
  expect(run('half', 'list', ...database, '--state', 'nonsense').status).toBe(2)
  expect(run('half', 'list', ...database).stdout).toContain(`order-1  ${id}\n  prepared after 0 checks`)
  expect(JSON.parse(run('half', 'show', id, ...database, '--json').stdout)).toMatchObject({
    database: 'order',
    id,
    state: 'prepared',
    body: '{"n":1}',
    encoding: 'json',
  })
  expect(run('half', 'show', id, ...database).stdout).toContain('json: {"n":1}')
})

test.each([
  ['commit', 'committed', []],
  ['rollback', 'rolled-back', [{ groups: [{ state: 'rolled-back' }] }]],
] as const)(
  'half %s finds the message in whichever database it is, decides once and keeps who and why',
  async (decision, state, found) => {
    const id = await withHalf()
    const database = ['--database', 'coupon=sqlite:coupon.db', '--database', 'order=sqlite:order.db']
    run('migrate', '--database', 'coupon=sqlite:coupon.db')
    expect(run('half', decision, id, ...database).status).toBe(2)
    const note = ['--because', 'the bank says so', '--by', 'ann']
    const done = run('half', decision, id, ...database, ...note, '--json')
    expect(done.status).toBe(0)
    expect(JSON.parse(done.stdout)).toMatchObject({ database: 'order', id, state, decidedBy: 'person' })
    expect(JSON.parse(run('search', 'order-1', ...database, '--json').stdout)).toMatchObject(
      decision === 'commit' ? [{ id }] : found,
    )
    expect(run('half', 'list', ...database).stdout).toBe('no half messages\n')
    for (const late of ['commit', 'rollback']) {
      const { status, stderr } = run('half', late, id, ...database, '--because', 'late')
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(
          new RegExp(`^half.already-decided.*${state} by person .*ann: the bank says so`),
        ),
      })
    }
  },
)

test('a half message that is in none of the databases: half.unknown, exit 1', () => {
  run('migrate', '--database', 'order=sqlite:order.db')
  const id = '01a1fffb-86d1-7750-811e-6769930e1c4b'
  for (const command of [
    ['show', id],
    ['commit', id, '--because', 'x'],
    ['rollback', id, '--because', 'x'],
  ])
    expect(run('half', ...command, '--database', 'order=sqlite:order.db')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('half.unknown'),
    })
})

test('search finds by key and by id and names the state in every group', async () => {
  await withDeadLetter()
  writeFileSync(
    folder.file('waybill.config.ts'),
    "export default { databases: { order: 'sqlite:order.db' } }\n",
  )
  const [found] = JSON.parse(run('search', 'order-2', '--json').stdout)
  expect(found).toMatchObject({
    database: 'order',
    key: 'order-2',
    groups: [{ group: 'red-packet', state: 'done' }],
  })
  expect(run('search', found.id).stdout).toContain('red-packet: done')
  expect(run('search', 'order-3').stdout).toBe('nothing found\n')
})

test('wrong usage exits 2 and says what to do; a missing file is not created', () => {
  expect(run('lag')).toMatchObject({ status: 2, stderr: expect.stringContaining('--database') })
  expect(run('lag', '--database', 'order.db')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('NAME=URL'),
  })
  expect(run('lag', '--database', 'order=oracle:x')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('sqlite'),
  })
  expect(run('nonsense').status).toBe(2)
  expect(run('dead', 'redrive', '--all', '--database', 'order=sqlite:order.db').status).toBe(2)
  expect(run('lag', '--database', 'order=sqlite:typo.db')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('store.schema-missing'),
  })
  expect(existsSync(folder.file('typo.db'))).toBe(false)
})
