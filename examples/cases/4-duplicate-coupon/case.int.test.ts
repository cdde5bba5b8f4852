import { expect, test } from 'vitest'
import { runCase } from '../run-case.fixture.ts'

test('case 4: with Waybill one coupon for each order, whoever repeats what', () => {
  expect(runCase(4)).toEqual({
    case: 4,
    naive: { once: 0, lost: 0, duplicate: 6, phantom: 0, stuck: 0, dead: 0 },
    waybill: { once: 6, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 },
  })
})
