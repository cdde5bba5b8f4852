import { describe, expect, test } from 'vitest'
import { until } from '../src/testing/index.ts'
import { allOnce, books, sequence } from './harness/effects.ts'
import type { Running } from './harness/running.ts'
import { Stage, cleanEnd, killed, numbersOf, orders } from './harness/stage.ts'

const accounts = 3
const states = `select state, count(*) as n from waybill_v_dispositions where state <> 'done' group by state order by state`

const numbers = (account: number, upTo: number): readonly number[] => numbersOf(account, upTo, accounts)

/** So that a consumer that starts now reads heads and followers in one window. */
async function allAreSent(stage: Stage, order: Running): Promise<void> {
  await order.says('placed')
  await stage.drained([])
}

describe.concurrent('P21: the followers of a key wait for its head', () => {
  test('while the head fails and is tried again, and its process is killed each time before that is recorded or its followers are freed', async (context) => {
    const stage = new Stage(context)
    // Each account's first order fails three times, and one in the middle twice.
    const like = (n: number): object => ({ failures: n <= accounts ? 3 : n % 11 === 0 ? 2 : 0 })
    const order = stage.order({ orders: orders(1, 60, like, accounts) })
    await allAreSent(stage, order)
    const groups = [{ group: 'ledger', ordered: true, retries: 5 }]
    for (const point of [
      'failure-not-recorded:6',
      'failure-not-recorded:3',
      'head-done-followers-held:1',
      'head-done-followers-held:4',
    ]) {
      const dying = stage.consumer('coupon', groups, { WAYBILL_CRASH_AT: `consume.${point}` })
      expect(await dying.ended).toEqual(killed)
    }
    const healed = stage.consumer('coupon', groups)
    await stage.drained(['coupon'])
    expect(await healed.terminate()).toEqual(cleanEnd)

    expect(books(stage, 'coupon', 'ledger')).toMatchObject(allOnce(60, true))
    for (const account of [0, 1, 2]) expect(sequence(stage, account)).toEqual(numbers(account, 60))
    expect(stage.rows('coupon', states)).toEqual([])
  })

  test('hold: a dead head holds them through kills until it is redriven, and then they follow in order, kills or not', async (context) => {
    const stage = new Stage(context)
    const sick = 7
    const like = (n: number): object => ({ sick: n === sick })
    const order = stage.order({ orders: orders(1, 30, like, accounts) })
    await allAreSent(stage, order)
    const groups = [{ group: 'ledger', ordered: true, retries: 1 }]
    const first = stage.consumer('coupon', groups)
    await stage.drained(['coupon'])
    await first.kill()

    const second = stage.consumer('coupon', groups)
    order.tell({ type: 'place', request: 1, orders: orders(31, 60, like, accounts) })
    await order.says('placed', (event) => event['request'] === 1)
    await stage.drained(['coupon'])
    await second.kill()
    // Account 1 stands still at its sick order; the other accounts do not.
    expect(sequence(stage, 1)).toEqual([1, 4])
    for (const account of [0, 2]) expect(sequence(stage, account)).toEqual(numbers(account, 60))
    expect(stage.rows('coupon', states)).toEqual([
      { state: 'dead', n: 1 },
      { state: 'held', n: 17 },
    ])

    stage.heal()
    const third = stage.consumer('coupon', groups, { WAYBILL_CRASH_AT: 'consume.head-done-followers-held:1' })
    await third.says('ready')
    third.tell({ type: 'redrive', group: 'ledger' })
    expect(await third.ended).toEqual(killed)
    const fourth = stage.consumer('coupon', groups, {
      WAYBILL_CRASH_AT: 'consume.head-done-followers-held:5',
    })
    expect(await fourth.ended).toEqual(killed)
    expect(sequence(stage, 1)).toEqual(numbers(1, 60).slice(0, 8))

    const healed = stage.consumer('coupon', groups)
    await until('the last follower took effect', () => sequence(stage, 1).length === 20)
    await stage.drained(['coupon'])
    expect(await healed.terminate()).toEqual(cleanEnd)
    expect(books(stage, 'coupon', 'ledger')).toMatchObject(allOnce(60, true))
    expect(stage.rows('coupon', states)).toEqual([])
  })

  test('skip: a dead head is passed, a retrying one is waited for, and the order of the others is kept through kills', async (context) => {
    const stage = new Stage(context)
    const sick = 7
    const like = (n: number): object => ({ sick: n === sick, failures: n === 13 ? 2 : 0 })
    const order = stage.order({ orders: orders(1, 45, like, accounts) })
    await allAreSent(stage, order)
    const groups = [{ group: 'ledger', ordered: true, onFailure: 'skip' as const, retries: 2 }]
    for (const point of ['failure-not-recorded:2', 'head-done-followers-held:2']) {
      const dying = stage.consumer('coupon', groups, { WAYBILL_CRASH_AT: `consume.${point}` })
      expect(await dying.ended).toEqual(killed)
    }
    const healed = stage.consumer('coupon', groups)
    await stage.drained(['coupon'])
    expect(sequence(stage, 1)).toEqual(numbers(1, 45).filter((n) => n !== sick))
    expect(stage.rows('coupon', states)).toEqual([{ state: 'dead', n: 1 }])

    stage.heal()
    healed.tell({ type: 'redrive', group: 'ledger' })
    await until('the redriven one took effect', () => sequence(stage, 1).at(-1) === sick)
    expect(await healed.terminate()).toEqual(cleanEnd)
    expect(books(stage, 'coupon', 'ledger')).toMatchObject(allOnce(45, false))
  })
})
