import { describe, expect, test } from 'vitest'
import { fixedRetries } from '../index.ts'
import { until } from '../testing/until.ts'
import { consume, effect, effects, numbers, operator, publish, settled, waybill } from './shop.fixture.ts'

describe('order (P21)', () => {
  const key = (n: number): string => `user-${n % 2}`
  const of = (list: readonly number[], remainder: number): number[] => list.filter((n) => n % 2 === remainder)

  test('a retrying head holds its followers, other keys go on, and the order of each key is kept', async () => {
    const seen = new Set<number>()
    consume({ order: 'sharding-key', retry: fixedRetries('20ms', '20ms') }, (n, tx) => {
      if ((n === 3 || n === 5) && !seen.has(n)) {
        seen.add(n)
        throw new Error('once')
      }
      effect(tx, n)
    })
    await publish(20, key)
    await waybill.start()
    await settled(20)
    const order = await effects()
    expect(of(order, 1)).toEqual(of(numbers(20), 1))
    expect(of(order, 0)).toEqual(of(numbers(20), 0))
    expect(order).toHaveLength(20)
  })

  test('hold: a dead head holds its followers until it is redriven, and redrive replays the key in order', async () => {
    let healthy = false
    consume({ order: 'sharding-key', retry: fixedRetries() }, (n, tx) => {
      if (n === 3 && !healthy) throw new Error('down')
      effect(tx, n)
    })
    await publish(10, key)
    await waybill.start()
    await until('the other key is through', async () => of(await effects(), 0).length === 5)
    await until('the followers are held', async () => (await waybill.search({ state: 'held' })).length === 3)
    expect(of(await effects(), 1)).toEqual([1])
    healthy = true
    await waybill.deadLetters.redrive(await waybill.deadLetters.list(), operator)
    await settled(10)
    expect(of(await effects(), 1)).toEqual([1, 3, 5, 7, 9])
  })

  test('hold: discarding the dead head lets its followers go on, in order', async () => {
    consume({ order: 'sharding-key', retry: fixedRetries() }, (n, tx) => {
      if (n === 3) throw new Error('for ever')
      effect(tx, n)
    })
    await publish(10, key)
    await waybill.start()
    await until('the followers are held', async () => (await waybill.search({ state: 'held' })).length === 3)
    await waybill.deadLetters.discard(await waybill.deadLetters.list(), operator)
    await settled(9)
    expect(of(await effects(), 1)).toEqual([1, 5, 7, 9])
  })

  test('skip: a dead head is skipped, a retrying one is still waited for', async () => {
    const failures = new Map<number, number>()
    consume({ order: 'sharding-key', onFailure: 'skip', retry: fixedRetries('5ms') }, (n, tx) => {
      failures.set(n, (failures.get(n) ?? 0) + 1)
      if (n === 3 || (n === 5 && failures.get(5) === 1)) throw new Error('down')
      effect(tx, n)
    })
    await publish(10, key)
    await waybill.start()
    await settled(9)
    expect(of(await effects(), 1)).toEqual([1, 5, 7, 9])
    expect(await waybill.deadLetters.list()).toMatchObject([{ key: '3' }])
  })
})
