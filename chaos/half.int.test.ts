import { type TestContext, describe, expect, test } from 'vitest'
import { until } from '../src/testing/index.ts'
import type { HalfConfig } from './programs/half.ts'
import { Stage, cleanEnd, killed, orders } from './harness/stage.ts'

type Business = HalfConfig['business']

const placed = orders(1, 8, (n) => ({ declined: n === 3 }))
/** The victim ends, or stands still, with this order in its hands. */
const caught = 5

const businesses: readonly Business[] = ['same', 'elsewhere']
const crashes = businesses.flatMap((business) => [
  { business, point: 'half.prepared-not-worked', state: 'rolled-back', by: 'check-back' },
  {
    business,
    point: 'half.worked-not-decided',
    state: 'committed',
    // In the same database the decision was part of the business transaction.
    by: business === 'same' ? 'producer' : 'check-back',
  },
])

describe.concurrent('half messages: the effect follows the business table, exactly once or never', () => {
  test.for(crashes)(
    'the producer is killed at $point, business database: $business; another process answers',
    async ({ business, point, state, by }, context) => {
      const stage = new Stage(context)
      const producer = stage.half({ business, orders: placed }, { WAYBILL_CRASH_AT: `${point}:${caught}` })
      expect(await producer.ended).toEqual(killed)
      const undecided = by === 'check-back' ? 1 : 0
      expect(stage.number('order', countUndecided)).toBe(undecided)

      const answering = stage.half({ business })
      await answering.says('ready')
      await settled(stage)
      expect(await answering.terminate()).toEqual(cleanEnd)

      expect(halfOf(stage, caught)).toEqual([{ state, by }])
      const before = [1, 2, 4]
      expectEffects(stage, business, state === 'committed' ? [...before, caught] : before)
    },
  )

  test.for(businesses)(
    'P23: the producer stands still before its work, a check rolls back, its late transaction fails; business database: $0',
    async (business, context: TestContext) => {
      const stage = new Stage(context)
      const producer = stage.half(
        { business, orders: placed },
        { CHAOS_STOP_AT: `half.prepared-not-worked:${caught}` },
      )
      await producer.standsStill()
      const answering = stage.half({ business })
      await until('the check rolled it back', () => halfOf(stage, caught)[0]?.['state'] === 'rolled-back')
      producer.goOn()
      expect(await producer.says('refused')).toMatchObject({
        n: caught,
        code: business === 'same' ? 'half.already-decided' : 'the business database',
      })
      await producer.says('placed')
      await settled(stage)
      expect(await Promise.all([producer.terminate(), answering.terminate()])).toEqual([cleanEnd, cleanEnd])
      expectEffects(stage, business, [1, 2, 4, 6, 7, 8])
    },
  )
})

const countUndecided = "select count(*) from waybill_halves where state in ('prepared', 'in-doubt')"

function halfOf(stage: Stage, n: number): readonly Readonly<Record<string, unknown>>[] {
  return stage.rows('order', 'select state, decided_by as by from waybill_halves where key = ?', `order-${n}`)
}

/** Every half message is decided, and what was committed is handled. */
async function settled(stage: Stage): Promise<void> {
  const waiting = 'select coalesce(sum(waiting), 1) from waybill_v_lag where reader = ?'
  await until(
    'all is decided and handled',
    () => stage.number('order', countUndecided) === 0 && stage.number('order', waiting, 'coupon') === 0,
  )
}

function expectEffects(stage: Stage, business: Business, wanted: readonly number[]): void {
  const numbers = (service: string, table: string): unknown[] =>
    stage.rows(service, `select n from ${table} order by n`).map(({ n }) => n)
  expect(numbers(business === 'same' ? 'order' : 'business', 'orders')).toEqual(wanted)
  expect(numbers('order', 'effects')).toEqual(wanted)
}
