import { expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { groups } from '../shared/order-paid.ts'
import { aimAt, nextPortion, type PlannedKill, planKills } from './kill-plan.ts'

function firstKills(seed: number, count: number): PlannedKill[] {
  const plan = planKills(seededRandom(seed))
  return Array.from({ length: count }, () => plan.next().value)
}

test('the seed alone decides who is struck and when', () => {
  expect(firstKills(5, 60)).toEqual(firstKills(5, 60))
  expect(firstKills(5, 60)).not.toEqual(firstKills(6, 60))
})

test('of any three kills in turn one strikes the order service, and the first strikes a consumer', () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const victims = firstKills(seed, 30).map(({ victim }) => victim)
    for (let at = 0; at < victims.length; at += 3) {
      expect(victims.slice(at, at + 3).filter((victim) => victim === 'order')).toHaveLength(1)
    }
    expect(victims[0]).not.toBe('order')
  }
})

test('consumers are struck in turn, so that each has its share', () => {
  const victims = firstKills(11, 60).map(({ victim }) => victim)
  for (const group of groups) expect(victims.filter((victim) => victim === group)).toHaveLength(8)
})

test('kills fall within their portion of the orders, not at its ends', () => {
  for (const { portionDone, delayMs } of firstKills(3, 200)) {
    expect(portionDone).toBeGreaterThanOrEqual(0.2)
    expect(portionDone).toBeLessThan(0.7)
    expect(delayMs).toBeLessThanOrEqual(8)
  }
})

test('portions are even, leave one for the time after the last kill, and never exceed the orders that are left', () => {
  let left = 1000
  for (let killsLeft = 20; killsLeft > 0; killsLeft -= 1) {
    const portion = nextPortion(left, killsLeft)
    expect(portion).toBeGreaterThanOrEqual(47)
    expect(portion).toBeLessThanOrEqual(48)
    left -= portion
  }
  expect(left).toBeGreaterThan(0)
  expect(nextPortion(3, 10)).toBe(1)
  expect(nextPortion(0, 5)).toBe(0)
})

test('the moment lies within the portion, and small portions are aimed at more closely', () => {
  const kill: PlannedKill = { victim: 'order', portionDone: 0.5, delayMs: 8 }
  expect(aimAt(kill, 100, 40)).toEqual({
    victim: 'order',
    answeredMin: 120,
    inHandMin: 4,
    doneMin: 8,
    delayMs: 8,
  })
  expect(aimAt({ ...kill, victim: 'coupon' }, 100, 40)).toMatchObject({ victim: 'coupon', inHandMin: 2 })
  expect(aimAt(kill, 100, 9)).toEqual({
    victim: 'order',
    answeredMin: 104,
    inHandMin: 2,
    doneMin: 2,
    delayMs: 2,
  })
  expect(aimAt(kill, 100, 1)).toEqual({
    victim: 'order',
    answeredMin: 100,
    inHandMin: 1,
    doneMin: 1,
    delayMs: 0,
  })
})
