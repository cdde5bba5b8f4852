import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DependencyDown, deadLetter, dependency, discard, fixedRetries, topic } from '../index.ts'
import { type Instance, OrderPaid, Scene, expectCodes, note } from './scene.fixture.ts'
import { trace } from './trace.ts'

let scene: Scene

beforeEach(() => {
  scene = new Scene()
})

afterEach(() => scene.dispose())

const pay = (instance: Instance, key = 'order-1', options = {}): Promise<string> =>
  instance.publishNow(OrderPaid, { key, body: { n: 1 }, ...options })

const doneIn =
  (instance: Instance, count = 1) =>
  async () =>
    (await instance.search({ state: 'done' })).filter(({ groups }) =>
      groups.some(({ group }) => !group.startsWith('@')),
    ).length >= count

describe('before the log', () => {
  test('never published: nothing anywhere, and nothing was ever dropped', async () => {
    scene.open('order')
    const found = await scene.trace('order-1', ['order'])
    const [verdict] = expectCodes(found, ['never-published'])
    expect(verdict!.sentence.en).toBe('Nothing was ever published for order-1.')
    expect(found.journeys).toEqual([])
  })

  test('P31: after a purge it is no data before a date, except for an id that is younger', async () => {
    const order = await scene.consumer('order', 'audit', () => {}, { transport: false })
    await pay(order)
    await scene.eventually('it is done', doneIn(order))
    scene.clock.step(86_400_000)
    const { store } = scene.database('order')
    while ((await store.purge(scene.clock.now())) > 0);
    await scene.meddle(
      'order',
      `insert or replace into waybill_meta values ('kept_since', '${scene.clock.now()}')`,
    )
    const [verdict] = expectCodes(await scene.trace('order-2', ['order']), ['no-data-before'])
    expect(verdict!.sentence.en).toContain(new Date(scene.clock.now()).toISOString())
    const idAt = (at: number): string => {
      const hex = at.toString(16).padStart(12, '0')
      return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
    }
    expectCodes(await scene.trace(idAt(scene.clock.now() - 1), ['order']), ['no-data-before'])
    expectCodes(await scene.trace(idAt(scene.clock.now()), ['order']), ['never-published'])
  })

  test('no data: a database that cannot be read is never taken for one that has nothing', async () => {
    const order = scene.open('order')
    const broken = { facts: async () => Promise.reject(new Error('the disk is gone')) }
    const nothing = await trace({ ...scene.sources('order'), coupon: broken }, 'order-1')
    const [verdict] = expectCodes(nothing, ['no-data'])
    expect(verdict).toMatchObject({ evidence: [{ database: 'coupon', fact: 'the disk is gone' }] })
    expect(nothing.databases).toMatchObject([{ noData: null }, { noData: 'the disk is gone' }])
    await order.start()
    await pay(order)
    await scene.eventually('it is sent', async () =>
      (await order.lag()).every(({ waiting }) => waiting === 0),
    )
    await scene.pass(20_000)
    const sent = await trace([...Object.entries(scene.sources('order')), ['coupon', broken]], 'order-1')
    expectCodes(sent, ['no-data'])
    expect(sent.journeys[0]!.hops.filter(({ hop }) => hop === 'landed')).toMatchObject([
      { database: 'coupon', sight: 'no data', evidence: 'the disk is gone' },
    ])
  })

  test('P31: a service that lands what others publish does not know what they have yet to send', async () => {
    const order = scene.open('order')
    const coupon = await scene.consumer('coupon', 'red-packet')
    await pay(order)
    expectCodes(await scene.trace('order-1', ['coupon']), ['no-data'])
    expectCodes(await scene.trace('order-1', ['coupon', 'broker']), ['no-data'])
    await order.start()
    await scene.eventually('it is handled', doneIn(coupon))
    await scene.stop(order)
    await pay(scene.open('order'), 'order-2')
    const [verdict] = expectCodes(await scene.trace('order-2', ['coupon', 'broker']), ['no-data'])
    expect(verdict!.sentence.en).toContain('it may be on its way from another service')
    expectCodes(await scene.trace('order-3', ['order', 'broker', 'coupon']), ['never-published'])
  })

  test('half messages: undecided, in doubt, rolled back, expired', async () => {
    const Half = topic<{ n: number }>('order.half', undefined, { half: { checks: 1 } })
    const order = scene.open('order', false)
    order.onCheckBack(Half, async () => 'unknown')
    const half = (key: string) => order.publishHalf(Half, { key, body: { n: 1 } }, async () => 'unknown')
    const { id } = await half('order-1')
    const [undecided] = expectCodes(await scene.trace('order-1', ['order']), ['half-undecided'])
    expect(undecided).toMatchObject({ stoppedAt: 'decided', id })
    const { store } = scene.database('order')
    await store.halves.doubt(id, 'the checks are used up')
    const [doubt] = expectCodes(await scene.trace('order-1', ['order']), ['in-doubt'])
    expect(doubt!.next.en).toContain(`waybill half commit ${id}`)
    await store.halves.decide(id, 'rollback', 'person', 'ann: not paid')
    const [rolledBack] = expectCodes(await scene.trace('order-1', ['order']), ['rolled-back'])
    expect(rolledBack!.sentence.zh).toContain('人工')
    const late = await half('order-2')
    await store.halves.decide(late.id, 'rollback', 'policy', 'unknown for 15 minutes', true)
    expectCodes(await scene.trace('order-2', ['order']), ['expired'])
  })

  test('delayed, cancelled, and due without anybody to move it', async () => {
    const order = scene.open('order', false)
    await pay(order, 'order-1', { delay: '1m' })
    expectCodes(await scene.trace('order-1', ['order']), ['delayed'])
    await scene.pass(61_000)
    const [due] = expectCodes(await scene.trace('order-1', ['order']), ['due-not-moved'])
    expect(due!.stoppedAt).toBe('due')
    await pay(order, 'order-2', { delay: '1h' })
    await order.transaction((tx) => void order.cancel(tx, OrderPaid, { key: 'order-2' }, { because: 'paid' }))
    const [cancelled] = expectCodes(await scene.trace('order-2', ['order']), ['cancelled'])
    expect(cancelled!.sentence.en).toContain('paid')
  })
})

describe('between the databases', () => {
  test('relay not running: committed, and nobody of the service sends it', async () => {
    const order = scene.open('order')
    await order.start()
    await pay(order, 'order-0')
    await scene.eventually('the first is sent', async () =>
      (await order.lag()).some(({ reader, position }) => reader === '@relay' && position > 0),
    )
    await scene.stop(order)
    await pay(scene.open('order'))
    const [verdict] = expectCodes(await scene.trace('order-1', ['order']), ['relay-not-running'])
    expect(verdict).toMatchObject({ stoppedAt: 'relayed' })
    expect(verdict!.sentence.en).toContain('no relay of order is running; 1 messages')
  })

  test('in transit, then transport refusing: the relay runs and the broker takes nothing', async () => {
    scene.database('broker')
    const order = scene.open('order')
    await order.start()
    const mend = scene.broker.breakDown('land')
    await pay(order)
    await scene.pass(1_000)
    expectCodes(await scene.trace('order-1', ['order', 'broker']), ['in-transit'])
    await scene.pass(20_000)
    const [verdict] = expectCodes(await scene.trace('order-1', ['order', 'broker']), ['transport-refusing'])
    expect(verdict!.evidence.map(({ from }) => from)).toContain('waybill_leases')
    mend()
  })

  test('transport refused for good: the relay’s own dead letter', async () => {
    const order = scene.open('order')
    await order.start()
    const id = await pay(order)
    await scene.eventually('it is sent', async () =>
      (await order.lag()).every(({ waiting }) => waiting === 0),
    )
    await scene.stop(order)
    const message = await scene.first('order')
    await scene
      .database('order')
      .store.settle(await scene.lease('order', '@relay'), [
        { message, state: 'dead', attempts: 1, cause: 'transport.refused', because: 'too large' },
      ])
    const [verdict] = expectCodes(await scene.trace(id, ['order']), ['transport-refused'])
    expect(verdict!.sentence.en).toContain('too large')
    await scene.meddle('order', 'delete from waybill_messages')
    expectCodes(await scene.trace(id, ['order']), ['transport-refused'])
  })

  test('sent but not landed: it lies in the broker and the consuming service does not run', async () => {
    const order = scene.open('order')
    await order.start()
    const coupon = await scene.consumer('coupon', 'red-packet')
    await pay(order)
    await scene.eventually('it is handled', doneIn(coupon))
    await scene.stop(coupon)
    await pay(order, 'order-2')
    await scene.pass(20_000)
    const found = await scene.trace('order-2', ['order', 'broker', 'coupon'])
    const [verdict] = expectCodes(found, ['sent-not-landed'])
    expect(verdict).toMatchObject({ group: 'red-packet', stoppedAt: 'landed' })
    expect(verdict!.sentence.en).toContain('it lies in broker, and no instance')
    expect(found.journeys[0]!.hops.map(({ hop, sight }) => `${hop} ${sight}`)).toEqual([
      'published seen',
      'relayed seen',
      'accepted seen',
      'landed not seen',
    ])
    expectCodes(await scene.trace('order-2', ['order', 'coupon']), ['sent-not-landed'])
    const withoutOrigin = await scene.trace('order-2', ['broker', 'coupon'])
    expectCodes(withoutOrigin, ['sent-not-landed'])
    expect(withoutOrigin.journeys[0]!.hops[0]).toMatchObject({ hop: 'published', sight: 'no data' })
    expectCodes(await scene.trace('order-2', ['broker']), ['no-data'])
  })

  test('what consumers cannot be asked about is no data', async () => {
    const order = scene.open('order')
    await order.start()
    const coupon = await scene.consumer('coupon', 'red-packet')
    await pay(order)
    await scene.eventually('it is handled', doneIn(coupon))
    const [onlyOrder] = expectCodes(await scene.trace('order-1', ['order']), ['no-data'])
    expect(onlyOrder!.sentence.en).toContain('no database that was asked has a group')
    const [withBroker] = expectCodes(await scene.trace('order-1', ['order', 'broker']), ['no-data'])
    expect(withBroker).toMatchObject({ group: 'red-packet' })
  })

  test('lost: the broker confirmed it and has it no more', async () => {
    const order = scene.open('order')
    await order.start()
    const coupon = await scene.consumer('coupon', 'red-packet')
    await scene.stop(coupon)
    await pay(order)
    await scene.eventually('it is sent', async () =>
      (await order.lag()).every(({ waiting }) => waiting === 0),
    )
    await scene.meddle('broker', 'delete from waybill_messages')
    await scene.pass(20_000)
    const [verdict] = expectCodes(await scene.trace('order-1', ['order', 'broker', 'coupon']), ['lost'])
    expect(verdict!.sentence.en).toContain('broker confirmed it and has it no more')
  })

  test('a whole journey: order → broker → red packet, with the duplicates that were suppressed', async () => {
    const order = scene.open('order')
    await order.start()
    const coupon = await scene.consumer('coupon', 'red-packet')
    await pay(order, 'order-1', { dedupKey: 'pay-1' })
    await pay(order, 'order-1', { dedupKey: 'pay-1' })
    await scene.eventually('it is handled', doneIn(coupon))
    const found = await scene.trace('order-1', ['order', 'broker', 'coupon'])
    const [verdict] = expectCodes(found, ['done'])
    expect(verdict).toMatchObject({ stoppedAt: null, group: 'red-packet' })
    expect(verdict!.sentence.en).toContain(
      '1 duplicate was suppressed (1 × published again with its dedup key)',
    )
    expect(verdict!.sentence.zh).toContain('已抑制 1 个重复')
    expect(found.journeys[0]!.hops.map(({ hop, sight, database }) => [hop, sight, database])).toEqual([
      ['published', 'seen', 'order'],
      ['relayed', 'seen', 'order'],
      ['accepted', 'seen', 'broker'],
      ['landed', 'seen', 'coupon'],
      ['handled', 'seen', 'coupon'],
    ])
  })

  test('id collision: a second message with its id and another body is parked', async () => {
    const order = scene.open('order')
    await order.start()
    const coupon = await scene.consumer('coupon', 'red-packet')
    const id = await pay(order)
    await scene.eventually('it is handled', doneIn(coupon))
    const { store } = scene.database('coupon')
    const landed = await scene.first('coupon')
    await store.land({
      messages: [
        {
          ...landed,
          body: '{"n":2}',
          bodyHash: 'another',
          from: { source: 'database:x', queue: 0, position: 9 },
        },
      ],
      topics: [{ name: 'order.paid', queues: 1 }],
      upTo: [],
    })
    const found = await scene.trace(id, ['order', 'broker', 'coupon'])
    expectCodes(found, ['id-collision', 'done'])
  })
})

describe('in a group', () => {
  const one = (options: Parameters<Scene['consumer']>[3], handler?: (n: number) => unknown, group = 'mail') =>
    scene.consumer('order', group, handler ?? (() => {}), { transport: false, ...options })

  test('no such group: named by the user, or none at all', async () => {
    const order = await one({})
    await pay(order)
    const [verdict] = expectCodes(await scene.trace('order-1', ['order'], { group: 'male' }), [
      'no-such-group',
    ])
    expect(verdict!.sentence.en).toBe('No group male takes messages of order.paid; these do: mail.')
    const other = scene.open('stock', false)
    await pay(other, 'order-7')
    expectCodes(await scene.trace('order-7', ['stock']), ['no-such-group'])
  })

  test('a group that began later', async () => {
    const early = await one({})
    await pay(early)
    await scene.eventually('it is done', doneIn(early))
    const late = await one({ from: 'now' }, () => {}, 'statistics')
    await scene.pass(1_000)
    expectCodes(await scene.trace('order-1', ['order']), ['done', 'before-group-start'])
    await scene.stop(late)
  })

  test('without a live consumer: stopped, or died and its lease lapsed', async () => {
    const order = await one({})
    await scene.stop(order)
    await pay(scene.open('order', false))
    const [verdict] = expectCodes(await scene.trace('order-1', ['order']), ['group-without-consumer'])
    expect(verdict!.sentence.en).toContain('1 messages of its queue wait')
    await scene.lease('order', 'mail')
    expectCodes(await scene.trace('order-1', ['order']), ['waiting'])
    await scene.clock.advance(10_001)
    expectCodes(await scene.trace('order-1', ['order']), ['group-without-consumer'])
  })

  test('paused, before anything else', async () => {
    const order = await one({})
    await order.groups.pause('mail', note)
    await pay(order)
    const [verdict] = expectCodes(await scene.trace('order-1', ['order']), ['group-paused'])
    expect(verdict!.sentence.en).toContain('paused by ann')
    expect(verdict!.evidence.map(({ from }) => from)).toContain('waybill_pauses')
  })

  test('failing, then dead; in an ordered group what follows is held', async () => {
    const fail = (): never => {
      throw new Error('no such user')
    }
    const order = await one({ order: 'sharding-key', retry: fixedRetries('1m') }, fail)
    const head = await pay(order, 'order-1', { shardingKey: 'u' })
    await pay(order, 'order-2', { shardingKey: 'u' })
    await scene.eventually(
      'the second is held',
      async () => (await order.search({ state: 'held' })).length === 1,
    )
    const [failing] = expectCodes(await scene.trace('order-1', ['order']), ['handler-failing'])
    expect(failing!.sentence.en).toMatch(/failed 1 times .* no such user/)
    const [held] = expectCodes(await scene.trace('order-2', ['order']), ['group-held'])
    expect(held!.next.en).toContain(`waybill trace ${head}`)
    await scene.eventually('the first is dead', async () => (await order.deadLetters.list()).length === 1)
    const [dead] = expectCodes(await scene.trace('order-1', ['order']), ['handler-dead'])
    expect(dead!.sentence.en).toMatch(/after 2 deliveries: handler\.retries-exhausted, no such user/)
    expect(dead!.next.en).toContain(`--group mail --id ${head}`)
  })

  test('discarded, dead-lettered and filtered by the group', async () => {
    const order = await one({ tags: 'vip' }, (n) =>
      n === 1 ? discard({ because: 'not wanted' }) : deadLetter({ because: 'cannot be' }),
    )
    await pay(order, 'order-1', { tag: 'vip' })
    await pay(order, 'order-2', { tag: 'vip', body: { n: 2 } })
    await pay(order, 'order-3', { tag: 'common' })
    await scene.eventually('all are settled', async () =>
      (await order.lag()).every(({ waiting }) => waiting === 0),
    )
    const [discarded] = expectCodes(await scene.trace('order-1', ['order']), ['discarded'])
    expect(discarded!.sentence.en).toContain('not wanted')
    expectCodes(await scene.trace('order-2', ['order']), ['handler-dead'])
    const [filtered] = expectCodes(await scene.trace('order-3', ['order']), ['filtered'])
    expect(filtered!.stoppedAt).toBeNull()
  })

  test('P6: older than receipts', async () => {
    const first = scene.open('order', false)
    await pay(first)
    await scene.pass(1_000)
    scene.clock.step(31 * 86_400_000)
    const order = await one({})
    await scene.eventually('it is parked', async () => (await order.deadLetters.list()).length === 1)
    expectCodes(await scene.trace('order-1', ['order']), ['older-than-receipts'])
  })

  test('dependency down: charged to it, or waiting while a live instance says so', async () => {
    const order = await one({})
    await scene.stop(order)
    await pay(scene.open('order', false))
    const { store } = scene.database('order')
    const lease = await scene.lease('order', 'mail')
    await store.dependencies.report({
      name: 'sms',
      owner: 'owner-1',
      service: 'order',
      state: 'open',
      since: scene.clock.now(),
      because: 'connection refused',
      groups: ['mail'],
      until: scene.clock.now() + 5_000,
    })
    const [waiting] = expectCodes(await scene.trace('order-1', ['order']), ['dependency-down'])
    expect(waiting!.sentence.en).toContain('waits for sms, which is down: connection refused')
    await scene.clock.advance(5_001)
    expectCodes(await scene.trace('order-1', ['order']), ['waiting'])
    const message = await scene.first('order')
    await store.settle(lease, [
      {
        message,
        state: 'retrying',
        attempts: 0,
        dueAt: scene.clock.now() + 1_000,
        cause: 'dependency.down',
        because: '503',
        dependency: 'sms',
      },
    ])
    const [charged] = expectCodes(await scene.trace('order-1', ['order']), ['dependency-down'])
    expect(charged!.sentence.en).toContain('sms, which is down: 503')
  })

  test('dependency failed: charged to one that is up', async () => {
    const sms = dependency('sms', { probe: () => {} })
    await one({ dependencies: [sms] }, () => {
      throw new DependencyDown('sms', 'HTTP 422')
    })
    await pay(scene.open('order', false))
    await scene.pass(60_000)
    const [verdict] = expectCodes(await scene.trace('order-1', ['order']), ['dependency-failed'])
    expect(verdict!.sentence.en).toContain('failed by sms, which is up, and is tried again at 2026-')
    expect(verdict!.sentence.en).toContain('HTTP 422')
  })

  test('a suspect that runs alone', async () => {
    const order = await one({})
    await scene.stop(order)
    await pay(scene.open('order', false))
    const { store } = scene.database('order')
    const lease = await scene.lease('order', 'mail')
    const message = await scene.first('order')
    await store.markRunning(lease, message, true)
    expectCodes(await scene.trace('order-1', ['order']), ['running-alone'])
  })

  test('a message that its group has passed without a receipt is no data, never done', async () => {
    const order = await one({})
    await pay(order)
    await scene.eventually('it is done', doneIn(order))
    await scene.meddle('order', 'delete from waybill_dispositions')
    expectCodes(await scene.trace('order-1', ['order']), ['no-data'])
  })

  test('dropped from the log, and known by its copy', async () => {
    const order = await one({}, () => deadLetter({ because: 'cannot be' }))
    await pay(order)
    await scene.eventually('it is dead', async () => (await order.deadLetters.list()).length === 1)
    await scene.meddle('order', 'delete from waybill_messages')
    const found = await scene.trace('order-1', ['order'])
    expectCodes(found, ['handler-dead'])
    expect(found.journeys[0]!.hops[0]).toMatchObject({ hop: 'published', evidence: 'by order, copy' })
  })
})

test('a group of the publisher’s own has its answer although the relay is stuck', async () => {
  const order = await scene.consumer('order', 'audit', () => {})
  const mend = scene.broker.breakDown('land')
  await pay(order)
  await scene.eventually('it is done here', doneIn(order))
  await scene.pass(20_000)
  expectCodes(await scene.trace('order-1', ['order']), ['done', 'transport-refusing'])
  mend()
})

test('a key that looks like an id is found as a key', async () => {
  const order = scene.open('order', false)
  const key = '01a1fffb-86d1-7750-811e-6769930e1c4b'
  await pay(order, key)
  expect((await scene.trace(key, ['order'])).journeys).toHaveLength(1)
})

test('of many messages of one key the newest 100 are told about', async () => {
  const order = scene.open('order', false)
  await order.transaction((tx) => {
    for (let n = 0; n < 120; n++) order.publish(tx, OrderPaid, { key: 'order-1', body: { n } })
  })
  const found = await scene.trace('order-1', ['order'])
  expect(found).toMatchObject({ more: true })
  expect(found.journeys).toHaveLength(100)
})

// Kept out of the scene: both halves of a service on one instance.
test('a service that consumes what it lands, with its own database as origin of something else', async () => {
  const order = scene.open('order')
  await order.start()
  const coupon = await scene.consumer('coupon', 'red-packet')
  await pay(coupon, 'order-9')
  await scene.eventually('it is handled', doneIn(coupon))
  await scene.pass(20_000)
  expectCodes(await scene.trace('order-9', ['order', 'broker', 'coupon']), ['done'])
})
