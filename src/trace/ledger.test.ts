import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { deadLetter, fixedRetries } from '../index.ts'
import { type LedgerOptions, type Ledger, ledger } from './ledger.ts'
import { type Instance, OrderPaid, Scene } from './scene.fixture.ts'

let scene: Scene

beforeEach(() => {
  scene = new Scene()
})

afterEach(() => scene.dispose())

const publish = (instance: Instance, count: number, from = 1, options = {}): Promise<void> =>
  instance.transaction((tx) => {
    for (let n = from; n < from + count; n++)
      instance.publish(tx, OrderPaid, { key: `order-${n}`, body: { n }, ...options })
  })

const idle = (instance: Instance) => async () => (await instance.lag()).every(({ waiting }) => waiting === 0)
const books = (names: readonly string[], options: LedgerOptions = {}): Promise<Ledger> =>
  ledger(scene.sources(...names), options)
const line = (found: Ledger, group: string | null) => found.lines.find((one) => one.group === group)
const keysOf = (list: readonly { key: string | null }[]) => list.map(({ key }) => key).toSorted()

describe('in one database', () => {
  test('P30: what was accepted is the sum over the states, whatever became of it', async () => {
    const order = await scene.consumer(
      'order',
      'mail',
      (n) => {
        if (n === 2) return deadLetter({ because: 'cannot be' })
        if (n === 3) throw new Error('not now')
        return undefined
      },
      { transport: false, retry: fixedRetries('1h') },
    )
    await publish(order, 4)
    await scene.eventually('all are settled', idle(order))
    await publish(order, 2, 5, { delay: '1h' })
    await order.transaction((tx) => void order.cancel(tx, OrderPaid, { key: 'order-5' }))
    await scene.stop(order)
    await publish(scene.open('order', false), 3, 7)
    const found = await books(['order'])
    expect(found.balanced).toBe(true)
    expect(line(found, 'mail')).toMatchObject({
      database: 'order',
      topic: 'order.paid',
      accepted: 7,
      states: { done: 2, dead: 1, retrying: 1, waiting: 3 },
    })
    expect(line(found, null)).toMatchObject({ accepted: 2, states: { delayed: 1, cancelled: 1 } })
  })

  test('a message that its group has passed and that has no receipt is named', async () => {
    const order = await scene.consumer('order', 'mail', () => {}, { transport: false })
    await publish(order, 5)
    await scene.eventually('all are done', idle(order))
    await scene.meddle(
      'order',
      "delete from waybill_dispositions where message_id in (select id from waybill_messages where key in ('order-2', 'order-4'))",
    )
    const found = await books(['order'], { limit: 1 })
    expect(found.balanced).toBe(false)
    expect(line(found, 'mail')).toMatchObject({ accepted: 5, states: { done: 3 }, unaccounted: 2 })
    expect(line(found, 'mail')!.offenders).toMatchObject([{ key: 'order-2', fault: 'unaccounted' }])
  })

  test('a dead letter whose copy is gone is named, and one whose log row is dropped is not', async () => {
    const order = await scene.consumer('order', 'mail', () => deadLetter({ because: 'no' }), {
      transport: false,
    })
    await publish(order, 2)
    await scene.eventually('all are dead', idle(order))
    await scene.meddle('order', 'delete from waybill_messages')
    expect(await books(['order'])).toMatchObject({ balanced: true })
    await scene.meddle('order', "delete from waybill_copies where key = 'order-1'")
    const found = await books(['order'])
    expect(found.balanced).toBe(false)
    expect(line(found, 'mail')).toMatchObject({
      accepted: 2,
      bodiesLost: 1,
      offenders: [{ key: 'order-1', fault: 'body-lost' }],
    })
  })

  test('what a group began after is not its to account for', async () => {
    const order = await scene.consumer('order', 'mail', () => {}, { transport: false })
    await publish(order, 3)
    await scene.eventually('all are done', idle(order))
    const late = await scene.consumer('order', 'statistics', () => {}, { transport: false, from: 'now' })
    await publish(late, 1, 4)
    await scene.eventually('it is done', idle(late))
    const found = await books(['order'])
    expect(found.balanced).toBe(true)
    expect(line(found, 'statistics')).toMatchObject({ accepted: 1 })
  })

  test('a database that cannot be read leaves the books open', async () => {
    scene.open('order', false)
    const found = await ledger({
      ...scene.sources('order'),
      coupon: { books: async () => Promise.reject(new Error('the disk is gone')) },
    })
    expect(found).toMatchObject({
      balanced: false,
      databases: [{ noData: null }, { noData: 'the disk is gone' }],
    })
  })
})

describe('between databases', () => {
  const all = ['order', 'broker', 'coupon']

  /** Both services have handled one message; then the coupon service is stopped. */
  async function begun(): Promise<{ order: Instance; coupon: Instance }> {
    const order = scene.open('order')
    await order.start()
    const coupon = await scene.consumer('coupon', 'red-packet')
    await publish(order, 1, 0)
    await scene.eventually('it has landed', async () => (await coupon.search({ state: 'done' })).length === 1)
    return { order, coupon }
  }

  test('all that was sent has landed', async () => {
    const { order, coupon } = await begun()
    await publish(order, 20)
    await scene.eventually(
      'all have landed',
      async () => (await coupon.search({ state: 'done' })).length === 21,
    )
    const found = await books(all)
    expect(found.balanced).toBe(true)
    expect(found.deliveries).toMatchObject([
      {
        topic: 'order.paid',
        from: 'order',
        to: 'coupon',
        groups: ['red-packet'],
        sent: 21,
        landed: 21,
        missing: 0,
      },
    ])
    expect(line(found, '@relay')).toMatchObject({ accepted: 21, states: { done: 21 } })
  })

  test('in transit while it lies in the broker, however long', async () => {
    const { order, coupon } = await begun()
    await scene.stop(coupon)
    await publish(order, 3)
    await scene.eventually('all are sent', idle(order))
    await scene.pass(120_000)
    const found = await books(all, { overdueAfter: '0s' })
    expect(found.deliveries).toMatchObject([{ sent: 4, landed: 1, inTransit: 3, missing: 0 }])
    expect(found.balanced).toBe(true)
  })

  test('P29: what was deleted in the broker is detected, and every message is named', async () => {
    const { order, coupon } = await begun()
    await scene.stop(coupon)
    await publish(order, 3)
    await scene.eventually('all are sent', idle(order))
    await scene.meddle('broker', "delete from waybill_messages where key in ('order-1', 'order-3')")
    const again = await scene.consumer('coupon', 'red-packet')
    await scene.eventually(
      'the other has landed',
      async () => (await again.search({ state: 'done' })).length === 2,
    )
    const found = await books(all)
    expect(found.balanced).toBe(false)
    expect(found.deliveries).toMatchObject([{ sent: 4, landed: 2, inTransit: 0, missing: 2 }])
    expect(keysOf(found.deliveries[0]!.offenders)).toEqual(['order-1', 'order-3'])
    expect(found.deliveries[0]!.offenders[0]!.proof).toMatch(/^database:/)
  })

  test('without the broker at hand: missing once overdue, or once overtaken', async () => {
    const { order, coupon } = await begun()
    await scene.stop(coupon)
    await publish(order, 2)
    await scene.eventually('all are sent', idle(order))
    const services = ['order', 'coupon']
    expect((await books(services)).deliveries).toMatchObject([{ inTransit: 2, missing: 0 }])
    expect((await books(services, { overdueAfter: '0s' })).deliveries).toMatchObject([{ missing: 2 }])
    await scene.meddle('broker', "delete from waybill_messages where key = 'order-1'")
    await scene.pass(20_000)
    expect((await books(services)).deliveries).toMatchObject([{ inTransit: 2, missing: 0 }])
    const again = await scene.consumer('coupon', 'red-packet')
    await scene.eventually(
      'the other has landed',
      async () => (await again.search({ state: 'done' })).length === 2,
    )
    const found = await books(services, { overdueAfter: '1h' })
    expect(found.deliveries).toMatchObject([{ landed: 2, inTransit: 0, missing: 1 }])
    expect(keysOf(found.deliveries[0]!.offenders)).toEqual(['order-1'])
  })

  test('what vanished after it had landed is missing too, and what was dropped with its date is no data', async () => {
    const { order, coupon } = await begun()
    await publish(order, 2)
    await scene.eventually(
      'all have landed',
      async () => (await coupon.search({ state: 'done' })).length === 3,
    )
    await scene.meddle(
      'coupon',
      'delete from waybill_dispositions',
      "delete from waybill_messages where key = 'order-2'",
    )
    expect((await books(all)).deliveries).toMatchObject([{ landed: 2, missing: 1, noData: 0 }])
    await scene.meddle(
      'coupon',
      `insert or replace into waybill_meta values ('kept_since', '${scene.clock.now()}')`,
    )
    expect((await books(all)).deliveries).toMatchObject([{ landed: 2, missing: 0, noData: 1 }])
  })

  test('P31: what is dropped with its receipt while the books are read is not taken for missing', async () => {
    const { order, coupon } = await begun()
    await publish(order, 1)
    await scene.eventually(
      'all have landed',
      async () => (await coupon.search({ state: 'done' })).length === 2,
    )
    const sources = scene.sources(...all)
    const dropping = async () => {
      const store = await sources['coupon']!.books()
      const open = async () => {
        const opening = await store.open()
        await scene.meddle(
          'coupon',
          "delete from waybill_dispositions where message_id in (select id from waybill_messages where key = 'order-1')",
          "delete from waybill_messages where key = 'order-1'",
          `insert or replace into waybill_meta values ('kept_since', '${scene.clock.now() + 1}')`,
        )
        return opening
      }
      return { ...store, open }
    }
    const found = await ledger({ ...sources, coupon: { books: dropping } })
    expect(found.deliveries).toMatchObject([{ landed: 1, missing: 0, noData: 1 }])
    expect(found.balanced).toBe(true)
  })

  test('what was sent before a group began is not owed to it', async () => {
    const { order } = await begun()
    await scene.pass(1_000)
    const late = await scene.consumer('statistics', 'statistics', () => {}, { from: 'now' })
    await publish(order, 1)
    await scene.eventually('it has landed', async () => (await late.search({ state: 'done' })).length === 1)
    const found = await books([...all, 'statistics'])
    expect(found.deliveries.find(({ to }) => to === 'statistics')).toMatchObject({
      sent: 2,
      landed: 1,
      notOwed: 1,
      missing: 0,
    })
    expect(found.balanced).toBe(true)
  })
})

test('portions: the books of a log that is longer than one', async () => {
  const order = scene.open('order', false)
  const { store } = scene.database('order')
  await store.declareTopics([{ name: 'order.paid', queues: 1 }])
  await scene.meddle(
    'order',
    `with recursive n (i) as (select 1 union all select i + 1 from n where i < 45000)
     insert into waybill_messages (id, service, topic, queue, key, body, body_hash, published_at, eligible_at)
     select printf('01a1fffb-86d1-7750-811e-%012x', i), 'order', 'order.paid', 0, 'order-' || i, '{}', '-', 1, 1 from n`,
  )
  await store.declareGroup({
    name: 'mail',
    topics: [{ name: 'order.paid', queues: 1 }],
    tags: {},
    from: 'oldest',
    subscriptionVersion: 1,
    ordered: false,
    onFailure: 'hold',
  })
  let breaths = 0
  const found = await books(['order'], { breathe: async () => void breaths++ })
  expect(line(found, 'mail')).toMatchObject({ accepted: 45_000, states: { waiting: 45_000 } })
  expect(breaths).toBe(3)
  await scene.meddle('order', 'update waybill_cursors set pos = 44999')
  expect(line(await books(['order'], { limit: 10 }), 'mail')).toMatchObject({
    unaccounted: 44_999,
    states: { waiting: 1 },
  })
  await scene.stop(order)
})

test('an unknown duration is refused', async () => {
  await expect(books([], { overdueAfter: 'soon' as never })).rejects.toThrow('duration.invalid')
})
