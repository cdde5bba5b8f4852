import { beforeEach, describe, expect, test } from 'vitest'
import { WaybillError } from '../core/errors.ts'
import type { HeldQueue, QueueReader } from '../core/log-reading.ts'
import type { Lease } from '../core/store.ts'
import { type TestPorts, testPorts } from '../testing/ports.ts'
import { aborted } from '../testing/scripted-carrier.ts'
import type { Outlooks } from './outlooks.ts'
import { ServedQueue, type ServingEnd } from './served-queue.ts'
import { WakeUps } from './wake-ups.ts'

let ports: TestPorts
let warnings: string[]
let end: ServingEnd | undefined

beforeEach(() => {
  warnings = []
  end = undefined
  const base = testPorts()
  ports = { ...base, log: { ...base.log, warn: (_, message) => void warnings.push(message) } }
})

function run(serve: (held: HeldQueue) => Promise<void>): ServedQueue {
  const lease: Lease = {
    reader: 'coupon',
    topic: 'order.paid',
    queue: 3,
    owner: ports.ids.owner(),
    fence: 1,
    position: 7,
    suspectThrough: 0,
    suspectDueBefore: 0,
    start: 0,
  } as Lease
  const reader: QueueReader = { reader: 'coupon', version: 1, runningMax: 100, queues: async () => [], serve }
  const queue = new ServedQueue(lease, reader, new WakeUps(ports.clock), outlooks, ports)
  queue.run(async (how) => {
    end = how
  })
  return queue
}

/** Nobody here asks for one. */
const outlooks = {} as Outlooks

const settle = (): Promise<void> => ports.clock.advance(0)

describe('how serving ends', () => {
  test('it begins at the lease’s position, and a drain ends it as finished', async () => {
    let began: number | undefined
    const queue = run(async (held) => {
      began = held.position
      await aborted(held.draining)
    })
    await settle()
    expect(began).toBe(7)
    expect([end, queue.isLeaving]).toEqual([undefined, false])
    queue.drain()
    await queue.ended
    expect([end, queue.isLeaving]).toEqual([{ kind: 'finished' }, true])
    expect(queue.lost.aborted).toBe(false)
  })

  test('a lost lease drains and aborts; what returns then is aborted, not finished: the lease is not ours to give back', async () => {
    const queue = run((held) => aborted(held.draining))
    await settle()
    queue.lose()
    await queue.ended
    expect(end).toEqual({ kind: 'aborted' })
    expect(queue.lost.aborted).toBe(true)
  })

  test('an error after the lease was lost is aborted too, and no news', async () => {
    const queue = run(async (held) => {
      await aborted(held.lost)
      throw new Error('the transaction was rolled back')
    })
    await settle()
    queue.lose()
    await queue.ended
    expect(end).toEqual({ kind: 'aborted' })
    expect(warnings).toEqual([])
  })

  test('P16: a write that was refused by its fence ends it at once: another has the queue', async () => {
    const queue = run(async () => {
      throw new WaybillError('store.lease-lost', 'taken over')
    })
    await queue.ended
    expect(end).toEqual({ kind: 'fenced' })
    expect(warnings).toEqual([])
  })
})

describe('a reader that fails', () => {
  test('is served again from the position that it had reached', async () => {
    const positions: number[] = []
    run(async (held) => {
      positions.push(held.position)
      held.position += 5
      throw new Error('the disk is full')
    })
    await settle()
    await ports.clock.advance(50)
    await ports.clock.advance(50)
    expect(positions).toEqual([7, 12, 17])
    expect(warnings[0]).toContain(
      'serving order.paid/3 for coupon failed and is tried again: the disk is full',
    )
  })

  test('pauses ever longer while it gets nowhere, at most 5 s, and starts anew after progress', async () => {
    const at: number[] = []
    let getsAhead = false
    const queue = run(async (held) => {
      at.push(ports.clock.monotonic())
      if (getsAhead) held.position++
      throw new Error('away')
    })
    await settle()
    await ports.clock.advance(60_000)
    const pauses = at.slice(1).map((time, i) => time - at[i]!)
    expect(pauses.slice(0, 9)).toEqual([50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    getsAhead = true
    await ports.clock.advance(5_000)
    getsAhead = false
    const before = at.length
    await ports.clock.advance(300)
    expect(at.length - before).toBeGreaterThanOrEqual(2)
    queue.drain()
    await queue.ended
  })

  test('a drain during the pause ends it without another try; a lost lease does so as aborted', async () => {
    for (const [how, kind] of [
      ['drain', 'finished'],
      ['lose', 'aborted'],
    ] as const) {
      let tries = 0
      const queue = run(async () => {
        tries++
        throw new Error('away')
      })
      await settle()
      queue[how]()
      await queue.ended
      expect(end).toEqual({ kind })
      expect(tries).toBe(1)
      expect(ports.clock.pending).toBe(0)
    }
  })

  test('something that is no Error is told all the same', async () => {
    const queue = run(async () => {
      throw 'a string'
    })
    await settle()
    expect(warnings[0]).toContain('a string')
    queue.drain()
    await queue.ended
  })
})

describe('what a reader is given', () => {
  test('breathing lets timers and I/O have their turn', async () => {
    let breaths = 0
    const queue = run(async (held) => {
      for (; !held.draining.aborted; await held.breathe()) breaths++
    })
    await settle()
    await settle()
    queue.drain()
    await queue.ended
    expect(breaths).toBeGreaterThan(1)
  })

  test('idle ends with a drain', async () => {
    const queue = run(async (held) => {
      while (!held.draining.aborted) await held.idle(held.mark())
    })
    await settle()
    queue.drain()
    await queue.ended
    expect(end).toEqual({ kind: 'finished' })
    expect(ports.clock.pending).toBe(0)
  })
})
