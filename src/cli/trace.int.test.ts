import { spawnSync } from 'node:child_process'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLog } from '../core/log.ts'
import { sqlite } from '../databases/sqlite.ts'
import { type Ledger, type Trace, Waybill, topic } from '../index.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'
import { databaseTransport } from '../transports/database/index.ts'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const OrderPaid = topic<{ n: number }>('order.paid')
const three = ['order', 'broker', 'coupon'].flatMap((name) => ['--database', `${name}=sqlite:${name}.db`])
let folder: ReturnType<typeof temporaryFolder>

interface Run {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: folder.path,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: '', LANG: 'C.UTF-8', ...env },
  })
  return { status, stdout, stderr }
}

/** Orders 1 to 3 have gone from the order service over the broker to the coupon service; order 4 lies in the broker. */
async function journey(): Promise<void> {
  const open = (service: string) =>
    new Waybill({
      service,
      database: sqlite(folder.file(`${service}.db`)),
      transport: databaseTransport({ database: sqlite(folder.file('broker.db')) }),
      log: silentLog,
    })
  const [order, coupon] = [open('order'), open('coupon')]
  coupon.consume(OrderPaid, { group: 'red-packet', from: 'oldest' }, () => {})
  await Promise.all([order.start(), coupon.start()])
  for (const n of [1, 2, 3]) await order.publishNow(OrderPaid, { key: `order-${n}`, body: { n } })
  await until(
    'three are done',
    async () => (await coupon.search({ group: 'red-packet', state: 'done' })).length === 3,
  )
  await coupon.stop()
  await order.publishNow(OrderPaid, { key: 'order-4', body: { n: 4 } })
  await until('all are sent', async () => (await order.lag()).every(({ waiting }) => waiting === 0))
  await order.stop()
}

beforeEach(() => {
  folder = temporaryFolder()
})

afterEach(() => {
  folder.remove()
})

test('trace walks from order to red packet over three databases, and ends with the verdict', async () => {
  await journey()
  const { status, stdout } = run(['trace', 'order-1', ...three])
  expect(status).toBe(0)
  expect(stdout.split('\n').map((line) => line.trim().split('  ')[0])).toEqual([
    'order-1',
    '✓ published',
    '✓ relayed',
    '✓ accepted',
    '✓ landed',
    '✓ handled',
    expect.stringMatching(/^→ Its effect in group red-packet was committed at .* \[done\]$/),
    'Nothing to do.',
    '',
  ])
  const found = JSON.parse(run(['trace', 'order-1', ...three, '--json']).stdout) as Trace
  expect(found.verdicts).toMatchObject([{ code: 'done', group: 'red-packet', stoppedAt: null }])
  expect(run(['trace', found.journeys[0]!.id, ...three]).stdout).toBe(stdout)
})

test('trace speaks the language of the locale, or the one that is asked for', async () => {
  await journey()
  const asked = ['trace', 'order-9', ...three]
  const english = 'Nothing was ever published for order-9.'
  const chinese = '从未有消息以 order-9 发布。'
  expect(run(asked).stdout).toContain(english)
  expect(run(asked, { LANG: 'zh_CN.UTF-8' }).stdout).toContain(chinese)
  expect(run(asked, { LANG: 'zh_CN.UTF-8', LC_ALL: 'en_GB.UTF-8' }).stdout).toContain(english)
  expect(run([...asked, '--lang', 'zh']).stdout).toContain(chinese)
  expect(run([...asked, '--lang', 'en'], { LANG: 'zh_CN.UTF-8' }).stdout).toContain(english)
  expect(run([...asked, '--lang', 'fr']).status).toBe(2)
})

test('a database that cannot be opened is no data, and the others answer', async () => {
  await journey()
  const { status, stdout } = run(['trace', 'order-1', ...three, '--database', 'log=sqlite:typo.db'])
  expect(status).toBe(0)
  expect(stdout).toContain('[done]')
  expect(stdout).toContain('[no-data]')
  expect(stdout).toMatch(/\? log: no data: .*there is no file typo\.db/)
  expect(run(['trace', 'order-1', '--database', 'order=oracle:x']).status).toBe(2)
  expect(run(['trace']).status).toBe(2)
})

test('trace --group answers for one group, and says so if there is none', async () => {
  await journey()
  expect(run(['trace', 'order-1', ...three, '--group', 'red-packet']).stdout).toContain('[done]')
  expect(run(['trace', 'order-1', ...three, '--group', 'red']).stdout).toContain('[no-such-group]')
})

test('ledger: status 0 while the books balance, 1 and every name once the broker has lost something', async () => {
  await journey()
  const fine = run(['ledger', ...three])
  expect(fine).toMatchObject({ status: 0, stderr: '' })
  expect(fine.stdout).toMatch(/✓ {2}order → coupon +order\.paid +red-packet +sent 4 +landed 3, in transit 1/)
  expect(fine.stdout).toContain('The books balance.')
  expect(run(['ledger', ...three, '--lang', 'zh']).stdout).toContain('账目平衡。')

  const broker = new DatabaseSync(folder.file('broker.db'))
  broker.exec('delete from waybill_messages')
  broker.close()
  const lost = run(['ledger', ...three])
  expect(lost.status).toBe(1)
  expect(lost.stdout).toMatch(/✗ {2}order → coupon .* MISSING 1\n +order-4 /)
  const { status, stdout } = run(['ledger', ...three, '--json'])
  expect(status).toBe(1)
  const found = JSON.parse(stdout) as Ledger
  expect(found.deliveries[0]).toMatchObject({ missing: 1, offenders: [{ key: 'order-4' }] })
  expect(run(['trace', 'order-1', ...three]).stdout).toContain('[done]')
})

test('ledger: a database that cannot be opened leaves the books open; wrong usage is 2', async () => {
  await journey()
  const { status, stdout } = run(['ledger', ...three, '--database', 'log=sqlite:typo.db'])
  expect(status).toBe(1)
  expect(stdout).toContain('? log: no data')
  expect(run(['ledger', ...three, '--overdue-after', 'soon']).status).toBe(2)
  expect(run(['ledger', ...three, '--limit', 'x']).status).toBe(2)
})
