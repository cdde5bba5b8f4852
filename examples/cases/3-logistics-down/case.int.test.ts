import { expect, test } from 'vitest'
import { runCase } from '../run-case.fixture.ts'

test('case 3: with Waybill each order is shipped once, though logistics was down for longer than all naive retries', () => {
  expect(runCase(3)).toEqual({
    case: 3,
    naive: { once: 8, lost: 16, duplicate: 0, phantom: 0, stuck: 0, dead: 0 },
    waybill: { once: 24, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 },
  })
})
