import { expect, test } from 'vitest'
import { testPorts } from './ports.ts'
import { VirtualClock } from './virtual-clock.ts'

test('a virtual clock stands still until it is moved', async () => {
  const clock = new VirtualClock(1_000)
  expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0])
  await clock.advance(250)
  expect([clock.now(), clock.monotonic()]).toEqual([1_250, 250])
})

test('timers run at their own time, those of one time in the order in which they were set', async () => {
  const clock = new VirtualClock(0)
  const ran: [string, number][] = []
  for (const [name, delay] of [
    ['c', 30],
    ['a', 10],
    ['b', 10],
    ['late', 31],
  ] as const)
    clock.after(delay, () => ran.push([name, clock.now()]))
  await clock.advance(30)
  expect(ran).toEqual([
    ['a', 10],
    ['b', 10],
    ['c', 30],
  ])
  expect(clock.pending).toBe(1)
})

test('what a timer starts settles before the next one runs, and may set timers that are due in the same move', async () => {
  const clock = new VirtualClock(0)
  const ran: string[] = []
  clock.after(10, () => {
    void Promise.resolve().then(async () => {
      await Promise.resolve()
      ran.push('settled')
      clock.after(5, () => ran.push('set on the way'))
    })
  })
  clock.after(12, () => ran.push('second'))
  await clock.advance(20)
  expect(ran).toEqual(['settled', 'second', 'set on the way'])
})

test('a timer that is cancelled does not run', async () => {
  const clock = new VirtualClock()
  const cancel = clock.after(10, () => expect.unreachable())
  cancel()
  cancel()
  await clock.advance(20)
})

test('a step of the wall clock moves no timer', async () => {
  const clock = new VirtualClock(0)
  let ran = false
  clock.after(10, () => (ran = true))
  clock.step(3_600_000)
  expect([clock.now(), clock.monotonic()]).toEqual([3_600_000, 0])
  await clock.advance(9)
  expect(ran).toBe(false)
  await clock.advance(1)
  expect(ran).toBe(true)
})

test('after the turn, what was pending has settled', async () => {
  const clock = new VirtualClock()
  const seen: string[] = []
  await new Promise<void>((done) => {
    clock.afterTurn(() => {
      seen.push('turn')
      done()
    })
    void Promise.resolve().then(() => seen.push('settled'))
  })
  expect(seen).toEqual(['settled', 'turn'])
})

test('ports of one seed give the same chance and ids, and those of another seed others', () => {
  const draw = (seed: number) => {
    const ports = testPorts({ seed })
    return [
      ports.ids.message(),
      ports.ids.owner(),
      ports.ids.epoch(),
      ports.random.next(),
      ports.random.next(),
    ]
  }
  expect(draw(7)).toEqual(draw(7))
  expect(new Set([...draw(7), ...draw(8)]).size).toBe(10)
})

test('ids are shaped like UUIDv7 and sort in the order in which they were made', async () => {
  const ports = testPorts()
  const ids = [ports.ids.message(), ports.ids.message()]
  await ports.clock.advance(5)
  ids.push(ports.ids.message())
  expect(ids.toSorted()).toEqual(ids)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('chance is spread over [0, 1)', () => {
  const { random } = testPorts({ seed: 42 })
  const drawn = Array.from({ length: 10_000 }, () => random.next())
  expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...drawn)).toBeLessThan(1)
  const tenths = Array.from(
    { length: 10 },
    (_, i) => drawn.filter((value) => Math.floor(value * 10) === i).length,
  )
  for (const count of tenths) expect(count).toBeGreaterThan(800)
})

test('crash points are recorded in order, before anybody reacts to them', () => {
  const ports = testPorts({
    reached: () => {
      throw new Error('the process dies here')
    },
  })
  expect(() => ports.reached('relay.sent-not-marked')).toThrow('dies here')
  expect(ports.points).toEqual(['relay.sent-not-marked'])
})
