import { expect, test } from 'vitest'
import { until } from '../src/testing/index.ts'
import { allOnce, books } from './harness/effects.ts'
import type { Running } from './harness/running.ts'
import type { GroupConfig } from './programs/consumer.ts'
import { Stage, cleanEnd, orders } from './harness/stage.ts'

/** So long that only a real hand-over can pass: nothing lapses within a test. */
const leaseMs = 240_000
/** Less than the time between two heartbeats, which would find what was not announced. */
const handOverWithinMs = 60_000
const groups: readonly GroupConfig[] = [
  { group: 'coupon', workMs: 2 },
  { group: 'ledger', ordered: true, workMs: 2 },
]
const perRound = 120
/** Enough to have messages in every queue. */
const accounts = 40

const owners = (stage: Stage, service: string, reader: string): number =>
  stage.number(
    service,
    'select count(distinct owner) from waybill_v_lag where reader like ? and owner is not null',
    reader,
  )

const handlers = (stage: Stage, group: string): number =>
  stage.number('coupon', 'select count(distinct pid) from effects where grp = ?', group)

test('a service that is stopped hands relaying, landing and consuming over at once, in the middle of the flow', async (context) => {
  const stage = new Stage(context, { queues: 8, leaseMs })
  const orderServices = [stage.order(), stage.order()] as const
  const consumers = [stage.consumer('coupon', groups), stage.consumer('coupon', groups)] as const
  await Promise.all([...orderServices, ...consumers].map((service) => service.says('ready')))

  let placed = 0
  /** Places orders through the service, and does not wait for it. */
  const place = (service: Running): void => {
    const request = placed
    const more = orders(placed + 1, placed + perRound, undefined, accounts)
    service.tell({ type: 'place', request, orders: more })
    placed += perRound
  }
  place(orderServices[0])
  for (const group of ['coupon', 'ledger'])
    await until(`both consumers share the queues of ${group}`, () => owners(stage, 'coupon', group) === 2)
  await until('both land', () => owners(stage, 'broker', '@land:coupon%') === 2)
  await until('both relay', () => owners(stage, 'order', '@relay') === 2)

  place(orderServices[1])
  for (const group of ['coupon', 'ledger'])
    await until(`both consumers handle messages of ${group}`, () => handlers(stage, group) === 2)
  // Messages are on their way, with handlers running, while one of each leaves.
  place(orderServices[0])
  const left = consumers[0].terminate()
  place(orderServices[1])
  expect(await left).toEqual(cleanEnd)
  expect(await orderServices[0].terminate()).toEqual(cleanEnd)
  place(orderServices[1])
  await orderServices[1].says('placed', (event) => event['request'] === 4 * perRound)
  await stage.drained(['coupon'], handOverWithinMs)

  expect(await Promise.all([consumers[1].terminate(), orderServices[1].terminate()])).toEqual([
    cleanEnd,
    cleanEnd,
  ])
  // The first order service was stopped before it had placed all that it was asked for.
  const committed = stage.number('order', 'select count(*) from orders')
  expect(committed).toBeGreaterThan(2 * perRound)
  expect(books(stage, 'coupon', 'coupon')).toMatchObject(allOnce(committed, false))
  expect(books(stage, 'coupon', 'ledger')).toMatchObject(allOnce(committed, true))
})

test('while one handler of a leaving consumer still runs, its other queues are served elsewhere already', async (context) => {
  const stage = new Stage(context, { queues: 8, leaseMs })
  const slow = orders(1, 1, () => ({ waits: true }), 1)
  const order = stage.order({ orders: slow })
  const leaving = stage.consumer('coupon', groups, {}, { stopWithinMs: 30_000 })
  await Promise.all(['coupon', 'ledger'].map((group) => leaving.says('waits', (e) => e['group'] === group)))
  const staying = stage.consumer('coupon', groups)
  await staying.says('ready')

  const left = leaving.terminate()
  await leaving.says('stopping')
  order.tell({ type: 'place', request: 1, orders: orders(2, 100) })
  await order.says('placed', (event) => event['request'] === 1)
  const elsewhere = stage.rows(
    'broker',
    "select key from waybill_messages where queue <> (select queue from waybill_messages where key = 'order-1')",
  )
  expect(elsewhere.length).toBeGreaterThan(50)
  for (const { group } of groups)
    await until(
      `${group} handles all that is in other queues than the running one`,
      () => books(stage, 'coupon', group).once >= elsewhere.length,
      handOverWithinMs,
    )
  expect(leaving.isRunning).toBe(true)

  for (const { group } of groups) leaving.tell({ type: 'go', n: 1, group })
  expect(await left).toEqual(cleanEnd)
  await stage.drained(['coupon'], handOverWithinMs)
  for (const { group, ordered = false } of groups)
    expect(books(stage, 'coupon', group)).toMatchObject(allOnce(100, ordered))
  expect(
    stage.rows('coupon', 'select distinct pid from effects where n = 1'),
    'the handler that was running was let finish',
  ).toEqual([{ pid: leaving.pid }])
})

test('a handler that is still finishing keeps its lease, however long that takes', async (context) => {
  const stage = new Stage(context, { queues: 1, leaseMs: 1_000 })
  stage.order({ orders: orders(1, 1, () => ({ waits: true })) })
  const leaving = stage.consumer('coupon', [{ group: 'coupon' }], {}, { stopWithinMs: 30_000 })
  await leaving.says('waits')
  const left = leaving.terminate()
  await leaving.says('stopping')
  const staying = stage.consumer('coupon', [{ group: 'coupon' }])
  await staying.says('ready')

  const expiry = (): number =>
    stage.number(
      'coupon',
      "select expires_at from waybill_leases where reader = 'coupon' and owner is not null",
    )
  const first = expiry()
  await until('the lease was renewed twice its length', () => expiry() > first + 2_000)
  expect(staying.events.filter(({ type }) => type === 'waits')).toEqual([])
  leaving.tell({ type: 'go', n: 1, group: 'coupon' })
  expect(await left).toEqual(cleanEnd)
  expect(stage.rows('coupon', 'select n, pid from effects')).toEqual([{ n: 1, pid: leaving.pid }])
})

test('a service that is stopped while it is still starting ends in order, and holds nothing', async (context) => {
  const stage = new Stage(context, { leaseMs })
  const order = stage.order({ orders: orders(1, 20) })
  await order.says('placed')
  for (let i = 0; i < 5; i++) {
    const starting = stage.consumer('coupon', groups)
    await starting.says('starting')
    expect(await starting.terminate()).toEqual(cleanEnd)
  }
  expect(owners(stage, 'coupon', 'coupon') + owners(stage, 'broker', '@land:coupon%')).toBe(0)
  const consumer = stage.consumer('coupon', groups)
  await stage.drained(['coupon'], handOverWithinMs)
  expect(await Promise.all([consumer.terminate(), order.terminate()])).toEqual([cleanEnd, cleanEnd])
  for (const { group, ordered = false } of groups)
    expect(books(stage, 'coupon', group)).toMatchObject(allOnce(20, ordered))
})
