import { appendFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type TestPorts, testPorts } from '../../testing/ports.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { until } from '../../testing/until.ts'
import type { SqliteConnection } from './driver.ts'
import { WalWatch } from './wal-watch.ts'

let folder: ReturnType<typeof temporaryFolder>
let ports: TestPorts
let warnings: string[]
/** What the reading connection sees. */
let version: number
let looks: number
let calls: number
let watch: WalWatch

beforeEach(() => {
  folder = temporaryFolder()
  warnings = []
  const warn = (_: object, message: string): void => void warnings.push(message)
  ports = testPorts({ log: { debug() {}, info() {}, warn, error: warn } })
  writeFileSync(folder.file('shop.db-wal'), '')
  version = 1
  looks = 0
  calls = 0
  const reader = {
    all: () => {
      looks++
      if (version < 0) throw new Error('planted')
      return [{ data_version: version }]
    },
  } as unknown as SqliteConnection
  watch = new WalWatch(reader, ports, folder.file('shop.db'), () => calls++)
  looks = 0
})

afterEach(() => {
  watch.stop()
  folder.remove()
})

const write = (): void => appendFileSync(folder.file('shop.db-wal'), 'frame')
const heard = (): Promise<unknown> => until('the write is heard of', () => looks > 0)

test('a commit that can be seen when its write is heard of is told at once', async () => {
  watch.start()
  version = 2
  write()
  await until('it is told', () => calls > 0)
  expect({ calls, timers: ports.clock.pending }).toEqual({ calls: 1, timers: 0 })
})

test('a commit that can be seen only later is told then, though nothing is written any more', async () => {
  watch.start()
  write()
  await heard()
  await ports.clock.advance(20)
  expect(calls).toBe(0)
  version = 2
  await ports.clock.advance(20)
  expect(calls).toBe(1)
  await ports.clock.advance(10_000)
  expect(calls).toBe(1)
  expect(ports.clock.pending).toBe(0)
})

test('a write that comes to nothing is looked after for two seconds and told to nobody', async () => {
  watch.start()
  write()
  await heard()
  await ports.clock.advance(2_000)
  expect(ports.clock.pending).toBe(0)
  expect(calls).toBe(0)
  expect(looks).toBeLessThan(15)
})

test('where the file cannot be asked, every write is told', async () => {
  watch.start()
  version = -1
  write()
  await until('it is told', () => calls > 0)
  expect(warnings[0]).toContain('could not be read')
})

test('stopped, it hears nothing and leaves no timer', async () => {
  watch.start()
  write()
  await heard()
  watch.stop()
  watch.stop()
  expect(ports.clock.pending).toBe(0)
  const before = looks
  version = 2
  write()
  await ports.clock.advance(5_000)
  expect({ calls, looks }).toEqual({ calls: 0, looks: before })
})

test('a file that cannot be watched is told once, and polling has to do', () => {
  const gone = new WalWatch(
    { all: () => [{ data_version: 1 }] } as unknown as SqliteConnection,
    ports,
    folder.file('no-such-folder/shop.db'),
    () => calls++,
  )
  gone.start()
  gone.stop()
  expect(warnings).toEqual([expect.stringContaining('cannot be watched')])
})
