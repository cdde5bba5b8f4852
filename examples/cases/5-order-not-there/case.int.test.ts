import { expect, test } from 'vitest'
import { runCase } from '../run-case.fixture.ts'

test('case 5: with half messages and the local message table nobody hears of an order that is not there, and all hear of one that is', () => {
  expect(runCase(5)).toEqual({
    case: 5,
    naive: { once: 2, lost: 2, duplicate: 0, phantom: 2, stuck: 0, dead: 0 },
    waybill: { once: 8, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 },
  })
})
