import { expect, test } from 'vitest'
import { allOnce, books } from './harness/effects.ts'
import { Stage, cleanEnd, killed, orders } from './harness/stage.ts'

const keys = 'select key from waybill_messages order by pos'

test('P2: what was sent in part is found and sent, in order and once, however often the relay dies in between', async (context) => {
  const stage = new Stage(context, { queues: 1 })
  const count = 1_500
  const placed = orders(1, count)
  const quiet = stage.order({ orders: placed, together: 50, relay: false })
  await quiet.says('placed')
  expect(await quiet.terminate()).toEqual(cleanEnd)
  const published = stage.rows('order', keys)
  expect(published).toHaveLength(count)
  expect(stage.rows('broker', keys)).toEqual([])

  // Each life reads windows of 100, 200, 400 and 500 messages, which the carrier sends by 200: a part of the third window, a part of the
  // fourth after that, and then windows that are sent and not marked, of which some had been sent before.
  const lives = [
    { crashAt: 'relay.partly-sent:1', sent: 500 },
    { crashAt: 'relay.partly-sent:2', sent: 1_200 },
    { crashAt: 'relay.sent-not-marked:1', sent: 1_200 },
    { crashAt: 'relay.sent-not-marked:2', sent: 1_300 },
  ]
  for (const { crashAt, sent } of lives) {
    const relay = stage.order({}, { WAYBILL_CRASH_AT: crashAt })
    expect(await relay.ended).toEqual(killed)
    expect(stage.rows('broker', keys)).toEqual(published.slice(0, sent))
  }
  const healed = stage.order()
  const consumer = stage.consumer('coupon', [{ group: 'coupon' }, { group: 'ledger', ordered: true }])
  await stage.drained(['coupon'])
  expect(await Promise.all([healed.terminate(), consumer.terminate()])).toEqual([cleanEnd, cleanEnd])
  expect(stage.rows('broker', keys)).toEqual(published)
  expect(books(stage, 'coupon', 'coupon')).toMatchObject(allOnce(count, false))
  expect(books(stage, 'coupon', 'ledger')).toMatchObject(allOnce(count, true))
})
