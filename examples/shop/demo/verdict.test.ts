import { expect, test } from 'vitest'
import type { Tally } from '../ledger.ts'
import type { SideResult } from './run-side.ts'
import { judge, toJson, type Verdict } from './verdict.ts'

const nothing: Tally = { once: 0, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 }
const groups = 5

function side(name: SideResult['name'], total: Partial<Tally>, kills = 3): SideResult {
  return {
    name,
    committed: 9,
    ledger: { total: { ...nothing, ...total }, perGroup: new Map(), offenders: [] },
    victims: Array.from({ length: kills }, () => 'order' as const),
    unanswered: 0,
    repeatedCallbacks: 0,
    effectsPerSecond: 100,
    latencyMs: { p50: 5, p99: 50 },
    seconds: 1.234,
  }
}

const naive = side('naive', { once: 30, lost: 5, duplicate: 10, phantom: 5 })
const waybill = side('waybill', { once: 45 })
const judged = (a: SideResult | undefined, b: SideResult, kills = 3): Verdict => judge(a, b, groups, kills)

test('a run passes when Waybill is without fault and the naive side shows every kind of fault', () => {
  expect(judged(naive, waybill)).toEqual({ passed: true, problems: [] })
})

test.each(['lost', 'duplicate', 'phantom', 'stuck', 'dead'] as const)(
  'one %s on Waybill side fails the run',
  (fault) => {
    const { passed, problems } = judged(naive, side('waybill', { once: 45, [fault]: 1 }))
    expect(passed).toBe(false)
    expect(problems).toEqual([`Waybill: 1 ${fault}`])
  },
)

test('an effect too few on Waybill side fails the run, whatever the other figures say', () => {
  expect(judged(naive, side('waybill', { once: 44 })).problems).toEqual([
    'Waybill: 44 of 45 effects happened exactly once',
  ])
})

test.each(['lost', 'duplicate', 'phantom'] as const)(
  'a naive side without anything %s fails the run',
  (fault) => {
    const mild = side('naive', { ...naive.ledger.total, [fault]: 0 })
    expect(judged(mild, waybill).problems).toEqual([
      `naive: nothing is ${fault}, so this run proves nothing about it`,
    ])
  },
)

test('fewer kills than asked for, on either side, fail the run', () => {
  expect(judged(side('naive', naive.ledger.total, 2), waybill).passed).toBe(false)
  expect(judged(naive, side('waybill', { once: 45 }, 2)).passed).toBe(false)
  expect(judged(naive, waybill, 4).problems).toEqual(['only 3 of 4 kills landed in flight on both sides'])
})

test("without the naive side, Waybill's alone decides", () => {
  expect(judged(undefined, waybill)).toEqual({ passed: true, problems: [] })
  expect(judged(undefined, side('waybill', { once: 45, lost: 1 })).problems).toEqual(['Waybill: 1 lost'])
  expect(judged(undefined, waybill, 4).problems).toEqual(['only 3 of 4 kills landed in flight'])
})

test('a payment that was never answered fails the run', () => {
  expect(judged(naive, { ...waybill, unanswered: 1 }).passed).toBe(false)
})

test('the JSON starts with the figures in their fixed order', () => {
  const run = { orders: 10, groups, seed: 1, database: 'SQLite', naive, waybill }
  const text = JSON.stringify(toJson(run, judged(naive, waybill)))
  expect(text).toMatch(
    /^\{"orders":10,"committed":9,"groups":5,"kills":3,"naive":\{"once":30,"lost":5,"duplicate":10,/,
  )
  expect(text).toContain('"waybill":{"once":45,"lost":0,"duplicate":0,"phantom":0,"stuck":0,"dead":0,')
})
