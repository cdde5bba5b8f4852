import { describe, expect, test } from 'vitest'
import { seededRandom, until } from '../src/testing/index.ts'
import { books, sequence } from './harness/effects.ts'
import { Stage, cleanEnd, numbersOf, orders } from './harness/stage.ts'
import type { GroupConfig } from './programs/consumer.ts'
import { Supervisor } from './harness/supervisor.ts'

const dead = 'select "group", message_id, cause, attempts from waybill_v_dead_letters'
const blamed =
  "select grp, message_id, crashes from waybill_dispositions where crashes > 0 and state <> 'dead'"

describe.concurrent('P17: a message that kills its process', () => {
  const kinds: readonly GroupConfig[] = [
    { group: 'coupon', workMs: 1 },
    { group: 'points', batch: 10 },
    { group: 'ledger', ordered: true, onFailure: 'skip' },
  ]

  test.for(kinds)(
    'is dead-lettered after three blamed deaths, and no other is, in %o',
    async (kind, context) => {
      const stage = new Stage(context)
      const poisonous = 23
      const order = stage.order({ orders: orders(1, 60, (n) => ({ poison: n === poisonous })) })
      await order.says('placed')
      const consumer = new Supervisor(() => stage.consumer('coupon', [kind]))
      await stage.drained(['coupon'])
      expect(await consumer.rest()).toEqual(cleanEnd)

      const id = stage.rows(
        'order',
        'select id from waybill_messages where key = ?',
        `order-${poisonous}`,
      )[0]?.['id']
      expect(stage.rows('coupon', dead)).toEqual([
        { group: kind.group, cause: 'handler.poison', message_id: id, attempts: 0 },
      ])
      // One death in the crowd, which nobody is blamed for, and three alone.
      expect(consumer.deaths).toBe(4)
      expect(stage.rows('coupon', blamed)).toEqual([])
      expect(books(stage, 'coupon', kind.group)).toMatchObject({
        once: 59,
        lost: 1,
        duplicate: 0,
        phantom: 0,
      })
      expect(stage.rows('coupon', 'select * from effects where n = ?', poisonous)).toEqual([])
    },
  )

  test('is found although several instances take turns dying of it, and holds only its own key', async (context) => {
    const stage = new Stage(context, { queues: 2 })
    const poisonous = 3
    const order = stage.order({ orders: orders(1, 40, (n) => ({ poison: n === poisonous }), 4) })
    await order.says('placed')
    const groups = [{ group: 'ledger', ordered: true }]
    const consumers = [1, 2].map(() => new Supervisor(() => stage.consumer('coupon', groups)))
    await stage.drained(['coupon'])

    expect(stage.rows('coupon', dead)).toMatchObject([{ cause: 'handler.poison' }])
    const held = stage.rows(
      'coupon',
      "select distinct state from waybill_v_dispositions where state <> 'done'",
    )
    expect(held).toEqual(expect.arrayContaining([{ state: 'dead' }, { state: 'held' }]))
    // Every fourth order is of the key that waits; all others are there, in their order.
    expect(books(stage, 'coupon', 'ledger')).toMatchObject({
      once: 30,
      lost: 10,
      duplicate: 0,
      misordered: 0,
    })
    expect(await Promise.all(consumers.map((consumer) => consumer.rest()))).toEqual([cleanEnd, cleanEnd])
    expect(stage.rows('coupon', blamed)).toEqual([])
  })
})

describe.concurrent('P17, P21: poison at the head of an ordered key', () => {
  const accounts = 4
  const poisonous = 3
  const groups = [{ group: 'ledger', ordered: true }]
  const like = (n: number): object => ({ poison: n === poisonous })

  /** Consumers that died of it until it was found, with its followers held and everybody else's orders done; more of both came since. */
  async function poisoned(stage: Stage): Promise<readonly Supervisor[]> {
    const order = stage.order({ orders: orders(1, 40, like, accounts) })
    await order.says('placed')
    const consumers = [1, 2].map(() => new Supervisor(() => stage.consumer('coupon', groups)))
    await stage.drained(['coupon'])
    expectHeld(stage, 40)
    order.tell({ type: 'place', request: 1, orders: orders(41, 60, like, accounts) })
    await order.says('placed', ({ request }) => request === 1)
    await stage.drained(['coupon'])
    expectHeld(stage, 60)
    return consumers
  }

  /** The poison is dead, its key stands still behind it, the other keys are complete and in order. */
  function expectHeld(stage: Stage, upTo: number): void {
    expect(stage.rows('coupon', dead)).toMatchObject([{ cause: 'handler.poison' }])
    expect(
      stage.rows(
        'coupon',
        "select state, count(*) as n from waybill_v_dispositions where state <> 'done' group by state order by state",
      ),
    ).toEqual([
      { state: 'dead', n: 1 },
      { state: 'held', n: numbersOf(poisonous, upTo, accounts).length - 1 },
    ])
    for (const account of [0, 1, 2])
      expect(sequence(stage, account)).toEqual(numbersOf(account, upTo, accounts))
    expect(sequence(stage, poisonous)).toEqual([])
  }

  async function rest(consumers: readonly Supervisor[]): Promise<void> {
    expect(await Promise.all(consumers.map((consumer) => consumer.rest()))).toEqual([cleanEnd, cleanEnd])
  }

  test('redriven while it still kills it is found again and goes on holding; redriven once healed, all of its key follow in order', async (context) => {
    const stage = new Stage(context, { queues: 2 })
    const consumers = await poisoned(stage)
    const redrive = async (): Promise<void> => {
      await consumers[0]!.current.says('ready')
      consumers[0]!.current.tell({ type: 'redrive', group: 'ledger' })
    }
    await redrive()
    await until(
      'it was found again',
      () => stage.number('coupon', 'select generation from waybill_dead_letters') === 1,
    )
    await stage.drained(['coupon'])
    expectHeld(stage, 60)

    stage.heal()
    await redrive()
    const all = numbersOf(poisonous, 60, accounts)
    await until('its followers took effect', () => sequence(stage, poisonous).length >= all.length)
    await rest(consumers)
    expect(sequence(stage, poisonous)).toEqual(all)
    expect(books(stage, 'coupon', 'ledger')).toMatchObject({ once: 60, duplicate: 0, misordered: 0 })
    expect(stage.rows('coupon', dead)).toEqual([])
  })

  test('discarded, it lets its followers go on, in order', async (context) => {
    const stage = new Stage(context, { queues: 2 })
    const consumers = await poisoned(stage)
    await consumers[1]!.current.says('ready')
    consumers[1]!.current.tell({ type: 'discard', group: 'ledger' })
    const followers = numbersOf(poisonous, 60, accounts).slice(1)
    await until('its followers took effect', () => sequence(stage, poisonous).length >= followers.length)
    await rest(consumers)
    expect(sequence(stage, poisonous)).toEqual(followers)
    expect(books(stage, 'coupon', 'ledger')).toMatchObject({ once: 59, lost: 1, duplicate: 0, misordered: 0 })
    expect(
      stage.rows('coupon', "select distinct state from waybill_v_dispositions where state <> 'done'"),
    ).toEqual([{ state: 'discarded' }])
  })
})

describe.concurrent('P17: whoever restarts or kills processes blames no message', () => {
  const groups = [
    { group: 'coupon', workMs: 5 },
    { group: 'ledger', ordered: true, workMs: 5 },
  ]

  test('rolling restarts in the middle of handling, many times', async (context) => {
    const stage = new Stage(context)
    stage.order({ orders: orders(1, 400) })
    const consumers = [1, 2].map(() => new Supervisor(() => stage.consumer('coupon', groups)))
    for (let restarts = 0; restarts < 12; restarts++) {
      const consumer = consumers[restarts % 2]!
      await hasWorked(stage, consumer)
      await consumer.restart()
    }
    await stage.drained(['coupon'])
    expect(await Promise.all(consumers.map((consumer) => consumer.rest()))).toEqual([cleanEnd, cleanEnd])
    expect(consumers.map(({ deaths }) => deaths)).toEqual([0, 0])

    expect(stage.rows('coupon', dead)).toEqual([])
    expect(stage.rows('coupon', blamed)).toEqual([])
    for (const { group } of groups)
      expect(books(stage, 'coupon', group)).toMatchObject({ once: 400, lost: 0, duplicate: 0, phantom: 0 })
    expect(books(stage, 'coupon', 'ledger').misordered).toBe(0)
  })

  test('a handler that is aborted because the time to stop is up, on every restart', async (context) => {
    const stage = new Stage(context)
    stage.order({ orders: orders(1, 1, () => ({ waits: true })) })
    const consumer = new Supervisor(() =>
      stage.consumer('coupon', [{ group: 'coupon' }], {}, { stopWithinMs: 0 }),
    )
    // More often than it may kill its process.
    for (let restarts = 0; restarts < 5; restarts++) {
      await consumer.current.says('waits')
      await consumer.restart()
    }
    await consumer.current.says('waits')
    consumer.current.tell({ type: 'go', group: 'coupon', n: 1 })
    await until('it took effect', () => books(stage, 'coupon', 'coupon').once === 1)
    expect(await consumer.rest()).toEqual(cleanEnd)
    expect(stage.rows('coupon', dead)).toEqual([])
    expect(stage.rows('coupon', 'select attempt from effects')).toEqual([{ attempt: 1 }])
  })

  test('kills at random moments', async (context) => {
    const stage = new Stage(context)
    stage.order({ orders: orders(1, 300) })
    const consumers = [1, 2].map(() => new Supervisor(() => stage.consumer('coupon', groups)))
    const random = seededRandom(17)
    for (let kills = 0; kills < 10; kills++) {
      const consumer = consumers[kills % 2]!
      const wanted = stage.number('coupon', 'select count(*) from effects') + Math.floor(random() * 30)
      await until('some more is done', () => {
        const done = stage.number('coupon', 'select count(*) from effects')
        return done > wanted || done === 600
      })
      await consumer.kill()
    }
    await stage.drained(['coupon'])
    expect(await Promise.all(consumers.map((consumer) => consumer.rest()))).toEqual([cleanEnd, cleanEnd])
    expect(consumers.map(({ deaths }) => deaths)).toEqual([5, 5])
    expect(stage.rows('coupon', dead)).toEqual([])
    for (const { group } of groups)
      expect(books(stage, 'coupon', group)).toMatchObject({ once: 300, lost: 0, duplicate: 0, phantom: 0 })
    expect(books(stage, 'coupon', 'ledger').misordered).toBe(0)
  })
})

/** Until the process that runs now has had effects of its own: it is in the middle of its work. */
async function hasWorked(stage: Stage, consumer: Supervisor): Promise<void> {
  const { pid } = consumer.current
  await until('it has handled something, or all is done', () => {
    const rows = stage.rows(
      'coupon',
      'select (select count(*) from effects) as all_done, (select count(*) from effects where pid = ?) as own',
      pid,
    )
    return Number(rows[0]?.['own']) > 3 || Number(rows[0]?.['all_done']) === 800
  })
}
