import { describe, expect, test } from 'vitest'
import { until } from '../src/testing/index.ts'
import { allOnce, books } from './harness/effects.ts'
import type { Running } from './harness/running.ts'
import { Stage, cleanEnd, killed, orders } from './harness/stage.ts'

const count = 80
const group = 'ledger'
const groups = [{ group, ordered: true, retries: 0 }]
const id = 'job'

const isDead = "select count(*) from waybill_v_dispositions where state = 'dead'"
const hadItsTurn = 'select count(*) from waybill_redrive_items where outcome is not null'
const job = 'select state, total, redriven, gone from waybill_redrives'

/** Every order has died, the third party is healthy again, and a redrive of them has begun. */
async function redriving(stage: Stage, perSecond: number): Promise<{ order: Running; consumer: Running }> {
  // Each account has one order: in an ordered group the others would be held behind the dead one.
  const order = stage.order({ orders: orders(1, count, () => ({ sick: true }), count) })
  const consumer = stage.consumer('coupon', groups)
  await until('all are dead', () => stage.number('coupon', isDead) === count)
  stage.heal()
  consumer.tell({ type: 'start-redrive', id, group, perSecond })
  await consumer.says('redrive')
  return { order, consumer }
}

function turns(stage: Stage): number {
  return stage.number('coupon', hadItsTurn)
}

async function turnsPassed(stage: Stage, least: number): Promise<void> {
  await until(`${least} had their turn`, () => turns(stage) >= least)
}

/** Every letter was redriven once: no crash has repeated one or left one out. */
function expectAllRedrivenOnce(stage: Stage): void {
  expect(stage.rows('coupon', job)).toEqual([{ state: 'done', total: count, redriven: count, gone: 0 }])
  expect(
    stage.rows('coupon', 'select generation, count(*) as n from waybill_dispositions group by generation'),
  ).toEqual([{ generation: 1, n: count }])
  expect(stage.number('coupon', "select count(*) from waybill_audit where action = 'redrive'")).toBe(count)
}

describe.concurrent('a redrive', () => {
  test('whose process is killed half-way, twice, goes on by itself, and every letter is redriven once', async (context) => {
    const stage = new Stage(context)
    const { consumer } = await redriving(stage, 60)
    for (const [least, running] of [
      [count / 4, () => consumer],
      [count / 2, () => stage.consumer('coupon', groups)],
    ] as const) {
      const dying = running()
      await turnsPassed(stage, least)
      expect(await dying.kill()).toEqual(killed)
      expect(turns(stage)).toBeLessThan(count)
    }
    const healed = stage.consumer('coupon', groups)
    await turnsPassed(stage, count)
    await stage.drained(['coupon'])
    expect(await healed.terminate()).toEqual(cleanEnd)
    expectAllRedrivenOnce(stage)
    expect(books(stage, 'coupon', group)).toMatchObject(allOnce(count, true))
  })

  test('that two processes work on, one of which is killed, keeps to its letters and its rate', async (context) => {
    const stage = new Stage(context)
    const perSecond = 40
    const { consumer } = await redriving(stage, perSecond)
    const other = stage.consumer('coupon', groups)
    await other.says('ready')
    await turnsPassed(stage, count / 2)
    await consumer.kill()
    await turnsPassed(stage, count)
    await stage.drained(['coupon'])
    expect(await other.terminate()).toEqual(cleanEnd)
    expectAllRedrivenOnce(stage)
    expect(books(stage, 'coupon', group)).toMatchObject(allOnce(count, true))
    const times = stage
      .rows('coupon', 'select at from waybill_redrive_items order by at')
      .map(({ at }) => Number(at))
    for (const from of times)
      expect(times.filter((at) => at >= from && at < from + 1_000).length).toBeLessThanOrEqual(perSecond)
  })

  test('that is paused stands still through a restart, goes on when it is resumed, and what is left when it is cancelled stays dead', async (context) => {
    const stage = new Stage(context)
    const { order, consumer } = await redriving(stage, 20)
    await turnsPassed(stage, 5)
    consumer.tell({ type: 'change-redrive', id, change: 'pause' })
    await consumer.says('redrive', ({ state }) => state === 'paused')
    const atPause = turns(stage)
    await consumer.kill()

    const second = stage.consumer('coupon', groups)
    await second.says('ready')
    order.tell({ type: 'place', request: 1, orders: orders(count + 1, count + 20, undefined, 1_000) })
    await order.says('placed', (event) => event['request'] === 1)
    await stage.drained(['coupon'])
    expect(turns(stage)).toBe(atPause)

    second.tell({ type: 'change-redrive', id, change: 'resume' })
    await turnsPassed(stage, atPause + 5)
    second.tell({ type: 'change-redrive', id, change: 'cancel' })
    await second.says('redrive', ({ state }) => state === 'cancelled')
    const redriven = turns(stage)
    await stage.drained(['coupon'])
    expect(await second.terminate()).toEqual(cleanEnd)
    expect(stage.rows('coupon', job)).toEqual([{ state: 'cancelled', total: count, redriven, gone: 0 }])
    expect(stage.number('coupon', isDead)).toBe(count - redriven)
    expect(books(stage, 'coupon', group)).toMatchObject({
      once: redriven + 20,
      lost: count - redriven,
      duplicate: 0,
      phantom: 0,
    })
  })
})
