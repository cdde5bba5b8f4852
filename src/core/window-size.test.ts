import { describe, expect, test } from 'vitest'
import { WindowSize } from './window-size.ts'

const mebibyte = 1024 * 1024
const bodies = (count: number, bytes: number) =>
  Array.from({ length: count }, () => ({ body: 'x'.repeat(bytes) }))

describe('how many messages are read at once', () => {
  test('of small ones as many as may be, after a few windows', () => {
    const size = new WindowSize(500)
    const limits = Array.from({ length: 5 }, () => {
      const { limit } = size
      size.saw(bodies(limit, 1024))
      return limit
    })
    expect(limits).toEqual([100, 200, 400, 500, 500])
  })

  test('of large ones as many as fit into 8 MiB, and one at least', () => {
    const size = new WindowSize(500)
    size.saw(bodies(2, mebibyte))
    expect(size.limit).toBe(8)
    size.saw(bodies(1, 4 * mebibyte))
    expect(size.limit).toBe(2)
    size.saw([{ body: new Uint8Array(16 * mebibyte) }])
    expect(size.limit).toBe(1)
  })

  test('small ones after large ones are soon read by the hundred again', () => {
    const size = new WindowSize(500)
    size.saw(bodies(1, 4 * mebibyte))
    for (let i = 0; i < 8; i++) size.saw(bodies(size.limit, 100))
    expect(size.limit).toBe(500)
  })

  test('nothing tells nothing, and a batch is read whole', () => {
    const size = new WindowSize(500, { multipleOf: 100 })
    expect(size.limit).toBe(100)
    size.saw([])
    expect(size.limit).toBe(100)
    size.saw(bodies(2, mebibyte))
    expect(size.limit).toBe(100)
    size.saw(bodies(100, 10))
    expect(size.limit).toBe(200)
    size.saw(bodies(100, (8 * mebibyte) / 130))
    expect(size.limit).toBe(100)
  })

  test('as many as handlers run at the same time are read whatever they hold', () => {
    const size = new WindowSize(100, { least: 60 })
    expect(size.limit).toBe(100)
    size.saw(bodies(2, mebibyte))
    expect(size.limit).toBe(60)
    size.saw(bodies(60, 10))
    expect(size.limit).toBe(100)
  })
})
