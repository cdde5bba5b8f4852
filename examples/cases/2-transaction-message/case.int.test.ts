import { expect, test } from 'vitest'
import { runCase } from '../run-case.fixture.ts'

test('case 2: with half messages each order once, and none that was never paid', () => {
  expect(runCase(2)).toEqual({
    case: 2,
    naive: { once: 1, lost: 4, duplicate: 1, phantom: 3, stuck: 0, dead: 0 },
    waybill: { once: 8, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 },
  })
})
