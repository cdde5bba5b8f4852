import { expect, test } from 'vitest'
import { Progress } from './progress.ts'

function written(isTTY: boolean, steps: readonly (readonly [number, number])[]): string {
  let text = ''
  const progress = new Progress({ isTTY, write: (part) => (text += part) })
  for (const [done, total] of steps) progress.show('order', done, total)
  progress.end()
  return text
}

test('on a terminal the line is written over', () => {
  expect(
    written(true, [
      [1, 3],
      [3, 3],
    ]),
  ).toBe('\rorder  1 of 3\rorder  3 of 3\n')
})

test('in a file there is a line for each tenth, and for nothing one', () => {
  const steps = Array.from({ length: 1_001 }, (_, done) => [done, 1_000] as const)
  const lines = written(false, steps).trimEnd().split('\n')
  expect(lines).toHaveLength(11)
  expect([lines[0], lines[1], lines.at(-1)]).toEqual([
    'order  0 of 1000',
    'order  100 of 1000',
    'order  1000 of 1000',
  ])
  expect(written(false, [[0, 0]])).toBe('order  0 of 0\n')
})
