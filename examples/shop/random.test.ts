import { expect, test } from 'vitest'
import { chanceOf, seededRandom } from './random.ts'

const draw = (seed: number, count: number): number[] => {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => random.next())
}

test('the same seed draws the same numbers, another seed draws others', () => {
  expect(draw(42, 100)).toEqual(draw(42, 100))
  expect(draw(42, 100)).not.toEqual(draw(43, 100))
})

test('numbers are spread evenly over [0, 1)', () => {
  const numbers = draw(7, 10_000)
  expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...numbers)).toBeLessThan(1)
  for (let tenth = 0; tenth < 10; tenth += 1) {
    const share = numbers.filter((number) => Math.floor(number * 10) === tenth).length / numbers.length
    expect(share).toBeCloseTo(0.1, 1)
  }
})

test('between includes both ends', () => {
  const random = seededRandom(1)
  const numbers = new Set(Array.from({ length: 200 }, () => random.between(3, 5)))
  expect([...numbers].toSorted()).toEqual([3, 4, 5])
})

test('shuffle keeps every item once and leaves its argument alone', () => {
  const items = ['a', 'b', 'c', 'd', 'e', 'f']
  const shuffled = seededRandom(3).shuffle(items)
  expect(shuffled).not.toEqual(items)
  expect(shuffled.toSorted()).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  expect(items).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
})

test('the chance of something follows from its parts alone', () => {
  expect(chanceOf('slow', 'order-1')).toBe(chanceOf('slow', 'order-1'))
  expect(chanceOf('slow', 'order-1')).not.toBe(chanceOf('slow', 'order-2'))
  expect(chanceOf('ab', 'c')).not.toBe(chanceOf('a', 'bc'))
})

test('a share of two percent is met by about two percent of the orders', () => {
  const slow = Array.from({ length: 10_000 }, (_, index) => chanceOf('slow', `order-${index}`)).filter(
    (chance) => chance < 0.02,
  )
  expect(slow.length).toBeGreaterThan(140)
  expect(slow.length).toBeLessThan(260)
})
