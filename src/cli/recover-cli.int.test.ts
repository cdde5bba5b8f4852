import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../core/log.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { type RedriveJob, type StoredGroup, Waybill, fixedRetries, topic } from '../index.ts'
import { testPorts } from '../testing/ports.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const OrderPaid = topic<{ n: number }>('order.paid')
const database = ['--database', 'order=sqlite:order.db']
const note = ['--because', 'the bank is back', '--by', 'ann']
let folder: ReturnType<typeof temporaryFolder>

beforeEach(() => {
  folder = temporaryFolder()
})

afterEach(() => {
  folder.remove()
})

function run(...args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [main, ...args], { cwd: folder.path, encoding: 'utf8' })
}

/** What a command prints with --json; it must succeed. */
function json<Printed>(...args: readonly string[]): Printed {
  const { status, stdout, stderr } = run(...args, '--json')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return JSON.parse(stdout) as Printed
}

function opened(): Waybill<SqliteTx, 'sync'> {
  return new Waybill({ service: 'order', database: sqlite(folder.file('order.db')), log: silentLog })
}

/** A database whose group red-packet has so many dead letters and no instance. */
async function withDead(count: number): Promise<void> {
  const waybill = opened()
  waybill.consume(OrderPaid, { group: 'red-packet', retry: fixedRetries() }, () => {
    throw new Error('no such user')
  })
  await waybill.start()
  for (let n = 1; n <= count; n++) await waybill.publishNow(OrderPaid, { key: `order-${n}`, body: { n } })
  await until('all are dead', async () => (await waybill.deadLetters.list()).length === count)
  await waybill.stop()
}

/** What the transport does in the broker database for a group that consumes in its service's own. */
async function register(group: string): Promise<void> {
  const { store, close } = sqlite(folder.file('broker.db')).open(testPorts(), {
    service: 'broker',
    migrate: 'auto',
  })
  await store.registerGroups([group], 'database-of-order')
  await close()
}

describe('redrives', () => {
  test('start with --wait does the work itself, with its progress on standard error', async () => {
    await withDead(3)
    const { status, stdout, stderr } = run(
      'redrives',
      'start',
      '--group',
      'red-packet',
      '--job',
      'j',
      '--rate',
      '100',
      '--wait',
      ...database,
      ...note,
    )
    expect(status).toBe(0)
    expect(stdout).toMatch(
      / {2}order {2}j {2}done at .*\n {2}3 of 3 redriven, 0 gone; 100 per second, oldest first; ann: the bank is back\n$/,
    )
    expect(stderr).toMatch(/^order {2}j {2}0 of 3\n/)
    expect(stderr).toMatch(/order {2}j {2}3 of 3\n$/)
    expect(run('dead', 'list', ...database).stdout).toBe('no dead letters\n')
  })

  test('start without --wait makes the job and leaves the work to the instances; the same --job starts nothing new', async () => {
    await withDead(2)
    const start = ['redrives', 'start', '--all', '--job', 'click', '--newest-first', ...database]
    const [job] = json<(RedriveJob & { database: string })[]>(...start, ...note)
    expect(job).toMatchObject({
      database: 'order',
      id: 'click',
      state: 'running',
      order: 'newest-first',
      total: 2,
      redriven: 0,
      by: 'ann',
      because: 'the bank is back',
    })
    expect(json(...start, '--because', 'again')).toEqual([job])
    expect(json('redrives', 'list', ...database)).toEqual([job])
    const waybill = opened()
    const handled: number[] = []
    waybill.consume(OrderPaid, { group: 'red-packet' }, ({ body }) => void handled.push(body.n))
    await waybill.start()
    await until('both are handled', () => handled.length === 2)
    await waybill.stop()
    expect(json('redrives', 'list', '--state', 'running', ...database)).toEqual([])
    expect(json(...start, '--because', 'later')).toMatchObject([{ id: 'click', state: 'done', redriven: 2 }])
  })

  test('a job is shown with its items, paused, resumed and cancelled, in whichever database it is', async () => {
    await withDead(2)
    run('migrate', '--database', 'other=sqlite:other.db')
    const both = ['--database', 'other=sqlite:other.db', ...database]
    expect(run('redrives', 'start', '--key', 'order-1', '--job', 'j', ...both, ...note).stdout).toContain(
      '0 of 1 redriven',
    )
    expect(json('redrives', 'pause', 'j', ...both, ...note)).toMatchObject([
      { database: 'order', state: 'paused' },
    ])
    expect(json('redrives', 'resume', 'j', ...both, ...note)).toMatchObject([{ state: 'running' }])
    expect(json('redrives', 'show', 'j', ...both)).toMatchObject([
      { database: 'order', id: 'j', items: [{ group: 'red-packet', outcome: null, at: null }] },
    ])
    expect(run('redrives', 'show', 'j', ...both).stdout).toContain('its turn has not come')
    expect(json('redrives', 'cancel', 'j', ...both, ...note)).toMatchObject([{ state: 'cancelled' }])
    expect(json('redrives', 'resume', 'j', ...both, ...note)).toMatchObject([{ state: 'cancelled' }])
    expect(run('redrives', 'show', 'j', ...both).stdout).toContain('not redriven')
    expect(json<unknown[]>('dead', 'list', ...database)).toHaveLength(2)
  })

  test('nothing to redrive is no job', async () => {
    await withDead(1)
    expect(run('redrives', 'start', '--key', 'order-9', ...database, ...note).stdout).toBe(
      'no dead letters to redrive\n',
    )
    expect(run('redrives', 'list', ...database).stdout).toBe('no redrives\n')
  })

  test('without a filter, a reason or a sensible rate it is refused, exit 2; an unknown job is redrive.unknown, exit 1', async () => {
    await withDead(1)
    expect(run('redrives', 'start', ...database, ...note)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--all'),
    })
    expect(run('redrives', 'start', '--all', ...database).status).toBe(2)
    for (const rate of ['0', '-1', 'fast', ''])
      expect(run('redrives', 'start', '--all', '--rate', rate, ...database, ...note).status).toBe(2)
    expect(run('redrives', 'list', '--state', 'nonsense', ...database).status).toBe(2)
    expect(run('redrives', 'start', '--all', '--job', 'no spaces', ...database, ...note)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('redrive.invalid'),
    })
    for (const command of [['show'], ['pause', ...note], ['resume', ...note], ['cancel', ...note]])
      expect(run('redrives', command[0]!, 'j', ...command.slice(1), ...database)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('redrive.unknown'),
      })
  })
})

describe('groups', () => {
  test('list says what a group reads, who runs it and what it has left to do', async () => {
    await withDead(2)
    const [group] = json<(StoredGroup & { database: string })[]>('groups', 'list', ...database)
    expect(group).toMatchObject({
      database: 'order',
      name: 'red-packet',
      topics: [{ name: 'order.paid', tags: '*' }],
      paused: null,
      instances: 0,
      waiting: 0,
      dead: 2,
    })
    expect(run('groups', 'list', ...database).stdout).toMatch(
      /^order {2}red-packet {2}order\.paid\n {2}0 instances {2}waiting 0 {2}retrying 0 {2}held 0 {2}dead 2 {2}subscription 1 since .* from oldest\n$/,
    )
  })

  test('pause and resume print the group as it is then; the first note stays', async () => {
    await withDead(1)
    const paused = json<StoredGroup[]>('groups', 'pause', 'red-packet', ...database, ...note)
    expect(paused).toMatchObject([{ database: 'order', paused: { by: 'ann', because: 'the bank is back' } }])
    expect(json('groups', 'pause', 'red-packet', ...database, '--because', 'me too', '--by', 'bob')).toEqual(
      paused,
    )
    expect(run('groups', 'list', ...database).stdout).toMatch(
      /\n {2}paused since .* by ann: the bank is back\n$/,
    )
    expect(json('groups', 'resume', 'red-packet', ...database, ...note)).toMatchObject([{ paused: null }])
    expect(run('groups', 'pause', 'red-packet', ...database).status).toBe(2)
    expect(run('groups', 'pause', 'coupon', ...database, ...note)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('group.unknown'),
    })
  })

  test('remove refuses living instances and open messages, abandons them when told, and forgets a registration too', async () => {
    await withDead(1)
    const broker = ['--database', 'broker=sqlite:broker.db']
    await register('red-packet')
    const both = [...broker, ...database]
    expect(run('groups', 'list', ...broker).stdout).toBe(
      'broker  red-packet  registered: it consumes in another database\n',
    )
    expect(run('groups', 'pause', 'red-packet', ...broker, ...note)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('group.unknown'),
    })
    const waybill = opened()
    waybill.consume(OrderPaid, { group: 'red-packet' }, () => {})
    await waybill.start()
    expect(run('groups', 'remove', 'red-packet', '--abandon', ...both, ...note)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('group.in-use'),
    })
    await waybill.stop()
    expect(run('groups', 'remove', 'red-packet', ...both, ...note)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('dead 1'),
    })
    expect(json<unknown[]>('groups', 'list', ...both)).toHaveLength(2)
    expect(json('groups', 'remove', 'red-packet', '--abandon', ...both, ...note)).toEqual({
      removed: 'red-packet',
      databases: ['order', 'broker'],
    })
    expect(run('groups', 'list', ...both).stdout).toBe('no groups\n')
    expect(run('dead', 'list', ...database).stdout).toBe('no dead letters\n')
    expect(run('groups', 'remove', 'red-packet', ...both, ...note)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('group.unknown'),
    })
  })
})
