import { describe, expect, test } from 'vitest'
import { ReadAhead } from './read-ahead.ts'
import type { Lease, ReadMessage, Store } from './store.ts'

const lease = { topic: 'order.paid', queue: 0 } as Lease
const windowMax = 3

/** A log of so many messages, which tells from where it was read. */
class Log implements Pick<Store<never>, 'read'> {
  readonly read: Store<never>['read'] = async (_lease, after, limit) => {
    this.reads.push(after)
    if (this.failure) throw this.failure
    return positions(after + 1, Math.min(after + limit, this.end)).map(
      (position) => ({ position, body: '{}' }) as ReadMessage,
    )
  }
  readonly reads: number[] = []
  failure: Error | undefined
  end: number

  constructor(end: number) {
    this.end = end
  }
}

const positions = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

const readFrom = async (reading: ReadAhead, after: number): Promise<number[]> => {
  const window = await reading.after(after)
  reading.begin(window)
  return window.map(({ position }) => position)
}

describe('reading a queue ahead', () => {
  test('each message of a backlog is read once, and none is left out', async () => {
    const log = new Log(8)
    const reading = new ReadAhead(log, lease, windowMax)
    const read: number[] = []
    for (let last = 0; last < 8; last = read.at(-1)!) read.push(...(await readFrom(reading, last)))
    expect(read).toEqual(positions(1, 8))
    expect(log.reads).toEqual([0, 3, 6])
  })

  test('after a window that is not full nothing is read before it is asked for: what is committed until then is in it', async () => {
    const log = new Log(2)
    const reading = new ReadAhead(log, lease, windowMax)
    expect(await readFrom(reading, 0)).toEqual([1, 2])
    expect(log.reads).toEqual([0])
    log.end = 4
    expect(await readFrom(reading, 2)).toEqual([3, 4])
  })

  test('P2: where the position stayed behind, it is read again from there', async () => {
    const log = new Log(8)
    const reading = new ReadAhead(log, lease, windowMax)
    await readFrom(reading, 0)
    expect(await readFrom(reading, 1)).toEqual([2, 3, 4])
  })

  test('that nothing was there when it was read ahead is no answer: what was committed meanwhile is found', async () => {
    const log = new Log(3)
    const reading = new ReadAhead(log, lease, windowMax)
    await readFrom(reading, 0)
    log.end = 4
    expect(await readFrom(reading, 3)).toEqual([4])
    expect(log.reads).toEqual([0, 3, 3])
  })

  test('a read that fails is heard of by whoever needs it, and by nobody else', async () => {
    const log = new Log(8)
    const reading = new ReadAhead(log, lease, windowMax)
    const window = await reading.after(0)
    log.failure = new Error('the connection broke')
    reading.begin(window)
    await expect(reading.after(3)).rejects.toThrow('the connection broke')
    reading.begin(window)
    log.failure = undefined
    expect(await readFrom(reading, 0)).toEqual([1, 2, 3])
  })
})
