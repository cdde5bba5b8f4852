import { expect, test } from 'vitest'
import type { Figure } from './bench.ts'
import { judge, toJson, toLines } from './report.ts'

const slowDown: Figure = {
  name: 'slow-down',
  label: 'slow-down',
  unit: 'ratio',
  values: [1.1, 1.3, 1.12],
  goal: { atMost: 1.15 },
}

test('a goal is judged on the median of the rounds', () => {
  expect(judge(slowDown, { atMost: 1.15 })).toBe('met')
  expect(judge({ ...slowDown, values: [1.1, 1.3, 1.16] }, { atMost: 1.15 })).toBe('missed')
  expect(judge({ ...slowDown, values: [0.9] }, { atLeast: 0.9 })).toBe('met')
})

test('a figure whose control is off meets and misses nothing', () => {
  const figure = { ...slowDown, inconclusive: 'the control is 1.20' }
  expect(judge(figure, { atMost: 1.15 })).toBe('inconclusive')
  const measured = { bench: 'b', measure: 'm', title: 't', findings: { how: 'h', figures: [figure] } }
  expect(toJson([measured]).goals).toEqual([
    {
      figure: 'b.m.slow-down',
      goal: { atMost: 1.15 },
      value: 1.12,
      verdict: 'inconclusive',
      because: 'the control is 1.20',
    },
  ])
  expect(toLines(measured).join('\n')).toContain('INCONCLUSIVE: the control is 1.20')
})

test('a row says the median, the range, the rounds, the goal and whether it is met', () => {
  const measured = { bench: 'b', measure: 'm', title: 't', findings: { how: 'h', figures: [slowDown] } }
  expect(toLines(measured).at(-1)).toMatch(/slow-down\s+1\.12 \(1\.10–1\.30\)\s+n=3\s+goal ≤ 1\.15\s+met$/)
})

test('a figure that has a name among the ratios is there with its median', () => {
  const figure = { ...slowDown, ratio: 'slowDown' }
  const measured = {
    bench: 'b',
    measure: 'm',
    title: 't',
    findings: { how: 'h', figures: [figure, slowDown] },
  }
  expect(toJson([measured]).ratios).toEqual({ slowDown: 1.12 })
})
