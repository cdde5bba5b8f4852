import { beforeEach, expect, test } from 'vitest'
import { testPorts, type TestPorts } from '../testing/ports.ts'
import { startUpkeep } from './upkeep.ts'

const hour = 3_600_000
const day = 24 * hour

let ports: TestPorts
let warnings: string[]
let purges: (readonly [before: number, receiptsBefore: number])[]
let purge: (before: number) => Promise<number>

beforeEach(() => {
  warnings = []
  purges = []
  purge = async () => 0
  const base = testPorts()
  ports = { ...base, log: { ...base.log, warn: (_, message) => void warnings.push(message) } }
})

function start(): () => void {
  const store = {
    purge: (before: number, receiptsBefore: number) => {
      purges.push([before, receiptsBefore])
      return purge(before)
    },
  }
  return startUpkeep(store as never, ports, 30 * day)
}

test('every hour what is older than the retention and a day is dropped, with its receipts', async () => {
  start()
  const began = ports.clock.now()
  await ports.clock.advance(3 * hour)
  const times = [1, 2, 3].map((hours) => began + hours * hour - 31 * day)
  expect(purges).toEqual(times.map((time) => [time, time]))
})

test('it goes on, portion by portion, until nothing is left to drop', async () => {
  let left = 5
  purge = async () => (left-- > 0 ? 10_000 : 0)
  start()
  await ports.clock.advance(hour)
  expect(purges).toHaveLength(6)
})

test('a failure is told and tried again an hour later', async () => {
  purge = () => Promise.reject(new Error('the file is locked'))
  start()
  await ports.clock.advance(hour)
  expect(warnings).toEqual([expect.stringContaining('the file is locked')])
  purge = async () => 0
  await ports.clock.advance(hour)
  expect(purges).toHaveLength(2)
  expect(warnings).toHaveLength(1)
})

test('stopped, it drops nothing more and leaves no timer, also when it is stopped in between', async () => {
  const stop = start()
  stop()
  expect(ports.clock.pending).toBe(0)
  let answer = (_count: number): void => {}
  purge = () => new Promise((resolve) => (answer = resolve))
  const stopWithin = start()
  await ports.clock.advance(hour)
  stopWithin()
  answer(10_000)
  await ports.clock.advance(5 * hour)
  expect(purges).toHaveLength(1)
  expect(ports.clock.pending).toBe(0)
})
