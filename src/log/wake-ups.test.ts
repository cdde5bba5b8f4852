import { beforeEach, expect, test } from 'vitest'
import { VirtualClock } from '../testing/virtual-clock.ts'
import { WakeUps } from './wake-ups.ts'

let clock: VirtualClock
let wakeUps: WakeUps
let abort: AbortController

beforeEach(() => {
  clock = new VirtualClock()
  wakeUps = new WakeUps(clock)
  abort = new AbortController()
})

/** Starts to idle, and answers whether it has woken. */
function idle(mark = wakeUps.mark(), until?: number): () => boolean {
  let isAwake = false
  void wakeUps.idle(mark, abort.signal, until).then(() => (isAwake = true))
  return () => isAwake
}

const turn = (): Promise<void> => clock.advance(0)

test('a change wakes all who idle', async () => {
  const [one, two] = [idle(), idle()]
  await turn()
  expect([one(), two()]).toEqual([false, false])
  wakeUps.changed()
  await turn()
  expect([one(), two()]).toEqual([true, true])
  expect(clock.pending).toBe(0)
})

test('a change between the mark and the wait is not missed', async () => {
  const mark = wakeUps.mark()
  wakeUps.changed()
  const awake = idle(mark)
  await turn()
  expect(awake()).toBe(true)
  expect(clock.pending).toBe(0)
})

test('a change before the mark wakes nobody', async () => {
  wakeUps.changed()
  await turn()
  const awake = idle()
  await turn()
  expect(awake()).toBe(false)
})

test('a change that is announced already, but not yet heard, is not missed by who comes now', async () => {
  idle()
  const mark = wakeUps.mark()
  wakeUps.changed()
  const late = idle(mark)
  await turn()
  expect(late()).toBe(true)
})

test('many changes in one turn wake once', async () => {
  let wakes = 0
  const reader = async (): Promise<void> => {
    for (;;) {
      const mark = wakeUps.mark()
      await wakeUps.idle(mark, abort.signal)
      if (abort.signal.aborted) return
      wakes++
    }
  }
  const reading = reader()
  await turn()
  for (let changes = 0; changes < 1_000; changes++) wakeUps.changed()
  await turn()
  expect(wakes).toBe(1)
  wakeUps.changed()
  await turn()
  expect(wakes).toBe(2)
  abort.abort()
  await reading
})

test('without any change it wakes once a second: polling is the safety net', async () => {
  const awake = idle()
  await clock.advance(999)
  expect(awake()).toBe(false)
  await clock.advance(1)
  expect(awake()).toBe(true)
})

test('it wakes at the time that is given, if that is sooner', async () => {
  const awake = idle(wakeUps.mark(), clock.now() + 300)
  await clock.advance(299)
  expect(awake()).toBe(false)
  await clock.advance(1)
  expect(awake()).toBe(true)
})

test('a time far away does not keep it from polling, one that has passed wakes it at once', async () => {
  const [far, past] = [
    idle(wakeUps.mark(), clock.now() + 3_600_000),
    idle(wakeUps.mark(), clock.now() - 5_000),
  ]
  await clock.advance(0)
  expect([far(), past()]).toEqual([false, true])
  await clock.advance(1_000)
  expect(far()).toBe(true)
})

test('the signal wakes it, and where it was aborted before there is no wait', async () => {
  const awake = idle()
  abort.abort()
  await turn()
  expect(awake()).toBe(true)
  const again = idle()
  await turn()
  expect(again()).toBe(true)
  expect(clock.pending).toBe(0)
})

test('nothing is left of a wait that is over, however it ended', async () => {
  const { signal } = abort
  let listeners = 0
  const counting = new Proxy(signal, {
    get: (target, name) => {
      if (name === 'addEventListener') listeners++
      if (name === 'removeEventListener') listeners--
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  for (let round = 0; round < 10; round++) {
    const waiting = wakeUps.idle(wakeUps.mark(), counting, round % 2 ? clock.now() + 5 : undefined)
    if (round % 2) await clock.advance(5)
    else wakeUps.changed()
    await waiting
  }
  expect(listeners).toBe(0)
  expect(clock.pending).toBe(0)
})
