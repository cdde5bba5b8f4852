import { beforeEach, expect, test } from 'vitest'
import { VirtualClock } from '../testing/virtual-clock.ts'
import { type Alone, HandlerGate } from './handler-gate.ts'

let clock: VirtualClock
let gate: HandlerGate
let log: string[]

beforeEach(() => {
  clock = new VirtualClock()
  gate = new HandlerGate(clock)
  log = []
})

/** A piece of work that the test ends. */
function work(name: string): { run: () => Promise<void>; end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const run = async (): Promise<void> => {
    log.push(`${name} begins`)
    await promise
    log.push(`${name} ends`)
  }
  return { run, end: resolve }
}

function suspect(name: string): { run: (alone: Alone) => Promise<void>; end: () => void } {
  const { run, end } = work(name)
  return {
    run: async (alone) => {
      log.push(`${name} is ${alone.isAlone ? '' : 'not '}alone`)
      alone.noLonger = async () => void log.push(`${name} is no longer alone`)
      await run()
    },
    end,
  }
}

const turn = (): Promise<void> => clock.advance(0)

test('handlers run together; a suspect waits for them, and they for it', async () => {
  const [one, two, late] = [work('one'), work('two'), work('late')]
  const poison = suspect('poison')
  const all = [gate.together(one.run), gate.together(two.run)]
  all.push(gate.alone(poison.run))
  all.push(gate.together(late.run))
  await turn()
  expect(log).toEqual(['one begins', 'two begins'])
  one.end()
  await turn()
  two.end()
  await turn()
  expect(log.slice(2)).toEqual(['one ends', 'two ends', 'poison is alone', 'poison begins'])
  poison.end()
  late.end()
  await Promise.all(all)
  expect(log.slice(6)).toEqual(['poison ends', 'late begins', 'late ends'])
  await clock.advance(60_000)
  expect(clock.pending).toBe(0)
})

test('suspects run one after the other, also when one fails', async () => {
  const [first, second] = [suspect('first'), suspect('second')]
  const failing = gate.alone(async (alone) => {
    await first.run(alone)
    throw new Error('planted')
  })
  const following = gate.alone(second.run)
  first.end()
  second.end()
  await expect(failing).rejects.toThrow('planted')
  await following
  expect(log).toEqual([
    'first is alone',
    'first begins',
    'first ends',
    'second is alone',
    'second begins',
    'second ends',
  ])
})

test('a suspect waits two seconds for a handler that hangs, then runs beside it and is not alone', async () => {
  const hanging = work('hanging')
  const poison = suspect('poison')
  void gate.together(hanging.run)
  const running = gate.alone(poison.run)
  await clock.advance(1_999)
  expect(log).toEqual(['hanging begins'])
  await clock.advance(1)
  expect(log.slice(1)).toEqual(['poison is not alone', 'poison begins'])
  poison.end()
  await running
})

test('a suspect that hangs keeps the others waiting for half a minute, and is told before they are let in', async () => {
  const [hanging, next] = [suspect('hanging'), suspect('next')]
  const other = work('other')
  void gate.alone(hanging.run)
  void gate.together(other.run)
  void gate.alone(next.run)
  await clock.advance(29_999)
  expect(log).toEqual(['hanging is alone', 'hanging begins'])
  await clock.advance(1)
  expect(log.slice(2)).toEqual(['hanging is no longer alone', 'other begins'])
  await clock.advance(2_000)
  expect(log.slice(4)).toEqual(['next is not alone', 'next begins'])
  // The end of the one that hung must not let others in beside the next.
  hanging.end()
  await turn()
  const late = work('late')
  void gate.together(late.run)
  await turn()
  expect(log.slice(6)).toEqual(['hanging ends'])
})
