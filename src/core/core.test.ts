import { describe, expect, test } from 'vitest'
import { milliseconds } from './duration.ts'
import { errorCodes } from './errors.ts'
import { checkGroupName, checkTopicName, utf8Length } from './names.ts'
import { exponentialRetries, fixedRetries, rocketmqRetries } from './policies/retry.ts'
import { fnv1a32, queueOf } from './queue.ts'
import { topic } from './topic.ts'

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['1.5s', 1_500],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['30d', 2_592_000_000],
  ] as const)('%s is %i ms', (duration, ms) => {
    expect(milliseconds(duration)).toBe(ms)
  })

  test.each(['', '5', '5 s', '-1s', '1w', 's', 5, null])('%j is refused', (text) => {
    expect(() => milliseconds(text as never)).toThrow(expect.objectContaining({ code: 'duration.invalid' }))
  })
})

describe('names', () => {
  test.each(['order.paid', 'a', 'x9._-', 'a'.repeat(100)])('%s is a name', (name) => {
    expect(() => checkTopicName(name)).not.toThrow()
    expect(() => checkGroupName(name)).not.toThrow()
  })

  test.each([
    '',
    'Order',
    '9a',
    '.a',
    'a b',
    'a/b',
    '订单',
    'a'.repeat(101),
    '@relay',
    "a'; drop table x",
    undefined,
    5,
  ])('%j is refused for topics and groups', (name) => {
    expect(() => checkTopicName(name)).toThrow(expect.objectContaining({ code: 'topic.name-invalid' }))
    expect(() => checkGroupName(name)).toThrow(expect.objectContaining({ code: 'group.name-invalid' }))
  })

  test.each(['', 'abc', 'é', '订单', '😀', 'a😀é订', '\ud800x'])(
    'the UTF-8 length of %j is counted as an encoder would',
    (text) => {
      expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length)
    },
  )
})

describe('queues (P19)', () => {
  test('FNV-1a has its published values', () => {
    expect([fnv1a32(''), fnv1a32('a'), fnv1a32('foobar')]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968])
  })

  test('a sharding key always maps to one queue, whatever the id', () => {
    const queues = new Set(['m1', 'm2', 'm3'].map((id) => queueOf({ id, shardingKey: 'user-7' }, 4)))
    expect(queues.size).toBe(1)
  })

  test('messages without a sharding key are spread over all queues', () => {
    const queues = new Set(
      Array.from({ length: 200 }, (_, i) => queueOf({ id: `id-${i}`, shardingKey: null }, 4)),
    )
    expect(queues.size).toBe(4)
  })

  test.each([0, 65, 1.5, Number.NaN, '4'])('a topic with %j queues is refused', (queues) => {
    expect(() => topic('a', undefined, { queues: queues as number })).toThrow(
      expect.objectContaining({ code: 'topic.queues-invalid' }),
    )
  })
})

describe('retry schedules', () => {
  test("RocketMQ's has sixteen retries from 10 s to 2 h, then no more", () => {
    const delays = Array.from({ length: 17 }, (_, i) => rocketmqRetries.delayMs(i + 1, 0))
    expect(delays.slice(0, 3)).toEqual([10_000, 30_000, 60_000])
    expect(delays[15]).toBe(7_200_000)
    expect(delays[16]).toBeUndefined()
  })

  test('an exponential one doubles up to its longest delay, with jitter over the upper half', () => {
    const policy = exponentialRetries({ first: '1s', max: '5s', retries: 4 })
    expect([1, 2, 3, 4, 5].map((attempt) => policy.delayMs(attempt, 0))).toEqual([
      500,
      1_000,
      2_000,
      2_500,
      undefined,
    ])
    expect(policy.delayMs(1, 0.999999)).toBe(1_000)
  })

  test('a fixed one uses its delays in order', () => {
    expect([1, 2, 3].map((attempt) => fixedRetries('1s', '5s').delayMs(attempt, 0))).toEqual([
      1_000,
      5_000,
      undefined,
    ])
  })

  test('nonsense is refused', () => {
    expect(() => exponentialRetries({ first: '2s', max: '1s', retries: 3 })).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    )
    expect(() => exponentialRetries({ first: '1s', max: '2s', retries: -1 })).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    )
  })
})

test('error codes are listed once each', () => {
  expect(new Set(errorCodes).size).toBe(errorCodes.length)
})
