import { expect, test } from 'vitest'
import { runCase } from '../run-case.fixture.ts'

test('case 1: with Waybill each red packet once, and what only the deleted broker held is named', () => {
  expect(runCase(1)).toEqual({
    case: 1,
    naive: { once: 3, lost: 7, duplicate: 2, phantom: 0, stuck: 0, dead: 0, detected: 0 },
    waybill: { once: 10, lost: 2, duplicate: 0, phantom: 0, stuck: 0, dead: 0, detected: 2 },
  })
})
