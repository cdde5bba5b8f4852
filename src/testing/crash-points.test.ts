import { describe, expect, test } from 'vitest'
import { crashPointNames } from '../core/ports.ts'
import { crashPoints } from './crash-points.ts'

describe('crashPoints', () => {
  test('does nothing at any point when nothing is asked for', () => {
    for (const env of [{}, { WAYBILL_CRASH_AT: '' }, { WAYBILL_CRASH_AT: undefined }]) {
      const { reached } = crashPoints(env)
      for (const point of crashPointNames) expect(reached(point)).toBeUndefined()
    }
  })

  test('does nothing at other points, nor before the passage that was asked for', () => {
    const { reached } = crashPoints({ WAYBILL_CRASH_AT: 'relay.sent-not-marked:3' })
    const passAll = (): void => {
      for (const point of crashPointNames) reached(point)
    }
    // At the third passage this process would be gone, and the test with it.
    expect(passAll).not.toThrow()
    expect(passAll).not.toThrow()
  })

  test('takes every name of the list, with and without a passage', () => {
    for (const point of crashPointNames)
      for (const wanted of [point, `${point}:2`])
        expect(crashPoints({ WAYBILL_CRASH_AT: wanted })).toHaveProperty('reached')
  })

  test.each(['relay.sent', 'relay.sent-not-marked ', ':1', 'all'])(
    'refuses the unknown point %j and names those that there are',
    (wanted) => {
      expect(() => crashPoints({ WAYBILL_CRASH_AT: wanted })).toThrow(
        /no crash point .*relay\.sent-not-marked/,
      )
    },
  )

  test.each(['0', '-1', '1.5', 'x', '', '1:2'])('refuses the passage %j', (passage) => {
    expect(() => crashPoints({ WAYBILL_CRASH_AT: `relay.sent-not-marked:${passage}` })).toThrow(
      /whole number from 1/,
    )
  })
})
