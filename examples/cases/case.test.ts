import { describe, expect, test } from 'vitest'
import { type Books, type CaseResult, describeResult, judge, printingContext, toJson } from './case.ts'

const fine: Books = { once: 5, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 }
const harmed: Books = { ...fine, once: 4, lost: 1 }

function resultOf(waybill: Partial<Books>, parts: Partial<CaseResult> = {}): CaseResult {
  return { case: 3, naive: harmed, waybill: { ...fine, ...waybill }, expected: { once: 5 }, ...parts }
}

describe('a case', () => {
  test('is as promised if all is once with Waybill, and not on the naive side', () => {
    expect(judge(resultOf({}))).toEqual([])
  })

  test.each(['duplicate', 'phantom', 'stuck', 'dead'] as const)('with one %s is not', (name) => {
    expect(judge(resultOf({ [name]: 1 }))).toEqual([`Waybill: 1 ${name}`])
  })

  test('in which something is lost is not, even if the ledger names it', () => {
    expect(judge(resultOf({ once: 4, lost: 1 }))).not.toEqual([])
    expect(judge(resultOf({ lost: 1, detected: 1 }))).toEqual(['Waybill: 1 lost, and not 0'])
  })

  test('in which an order never came to be is not', () => {
    expect(judge(resultOf({ once: 4 }))).toEqual(['Waybill: 4 once, and not 5'])
  })

  test.each(['lost', 'duplicate', 'phantom', 'stuck', 'dead'] as const)(
    'needs a failure on the naive side: one %s will do',
    (name) => {
      expect(judge(resultOf({}, { naive: { ...fine, [name]: 1 } }))).toEqual([])
      expect(judge(resultOf({}, { naive: fine }))).toHaveLength(1)
    },
  )
})

describe('what only a deleted broker held', () => {
  const expected = { once: 3, lost: 2 }

  test('may be lost if the ledger names each of it', () => {
    expect(judge(resultOf({ once: 3, lost: 2, detected: 2 }, { expected }))).toEqual([])
  })

  test.each([0, 1, 3])('may not if it names %d of 2', (detected) => {
    expect(judge(resultOf({ once: 3, lost: 2, detected }, { expected }))).toHaveLength(1)
  })

  test('has to be lost: otherwise nothing was deleted', () => {
    expect(judge(resultOf({ once: 5, lost: 0, detected: 0 }, { expected }))).not.toEqual([])
  })
})

test('the object of --json has the keys of its contract in their order, and nothing else', () => {
  const json = (result: CaseResult): string => JSON.stringify(toJson(result))
  const naive = '{"once":4,"lost":1,"duplicate":0,"phantom":0,"stuck":0,"dead":0}'
  const waybill = '{"once":5,"lost":0,"duplicate":0,"phantom":0,"stuck":0,"dead":0'
  expect(json(resultOf({}))).toBe(`{"case":3,"naive":${naive},"waybill":${waybill}}}`)
  expect(json(resultOf({ detected: 0 }))).toBe(
    `{"case":3,"naive":${naive},"waybill":${waybill},"detected":0}}`,
  )
})

test('a scenario is one line, both sides stand side by side', () => {
  const lines: string[] = []
  const context = printingContext((line) => lines.push(line))
  context.headings()
  context.scenario({ en: 'network cut', zh: '断网' }, harmed, fine)
  expect(lines.map((line) => line.split(/ {2,}/).filter((part) => part !== ''))).toEqual([
    ['naive', 'with Waybill'],
    ['network cut', '4 once, 1 lost', '5 once', '断网'],
  ])
  expect(describeResult(resultOf({ detected: 0 })).map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['once', 'lost', 'duplicate', 'phantom', 'stuck', 'dead', 'detected'],
    ['naive', '4', '1', '0', '0', '0', '0', '0'],
    ['with Waybill', '5', '0', '0', '0', '0', '0', '0'],
  ])
})
