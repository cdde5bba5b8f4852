import { expect, test } from 'vitest'
import { median, quantile, summarize } from './statistics.ts'

test('the median of an even number of rounds lies between the two in the middle', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([3, 1, 2])).toBe(2)
})

test('a quantile is a value that was measured', () => {
  const values = Array.from({ length: 200 }, (_, i) => i + 1)
  expect(quantile(values, 0.5)).toBe(100)
  expect(quantile(values, 0.99)).toBe(198)
  expect(quantile([7], 0.99)).toBe(7)
})

test('a figure without rounds is refused, not shown as nothing', () => {
  expect(() => summarize([])).toThrow(RangeError)
  expect(summarize([2, 1, 9])).toEqual({ n: 3, median: 2, min: 1, max: 9 })
})
