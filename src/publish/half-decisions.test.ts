import { describe, expect, test } from 'vitest'
import type { Decision, HalfAnswer, WaybillError } from '../index.ts'
import {
  type Instance,
  eventually,
  half,
  handled,
  inLog,
  open,
  opened,
  paid,
  pass,
  person,
} from './half.fixture.ts'

describe('a decision is written once', () => {
  test('a check that rolled back first makes the late business transaction fail, naming the winner', async () => {
    const OrderPaid = paid()
    const waybill = open(OrderPaid, () => 'rollback')
    await waybill.transaction((tx) => tx.exec('create table orders (id text primary key)'))
    await waybill.start()
    const { id } = await half(OrderPaid, waybill, 'k', 'unknown')
    await eventually('the check rolled it back', async () => (await waybill.halves.list()).length === 0)
    const late = waybill.transaction((tx) => {
      tx.prepare('insert into orders values (?)').run('k')
      waybill.decide(tx, id, 'commit')
    })
    await expect(late).rejects.toThrow(
      expect.objectContaining({
        code: 'half.already-decided',
        facts: expect.objectContaining({ winner: 'rolled-back', by: 'check-back' }),
      }),
    )
    expect(await waybill.transaction((tx) => tx.prepare('select * from orders').all())).toEqual([])
    expect(handled).toEqual([])
  })

  test('a check that contradicts a commit loses, and nothing is delivered twice', async () => {
    const OrderPaid = paid()
    let answerLate: (answer: HalfAnswer) => void = () => {}
    const asked = new Promise<void>((resolve) => {
      const waybill = open(OrderPaid, () => {
        resolve()
        return new Promise<HalfAnswer>((answer) => {
          answerLate = answer
        })
      })
      void waybill.start()
    })
    const [waybill] = opened
    const { id } = await half(OrderPaid, waybill!, 'k', 'unknown')
    await Promise.all([asked, pass(8_000)])
    await waybill!.transaction((tx) => waybill!.decide(tx, id, 'commit'))
    answerLate('rollback')
    await eventually('it was handled', () => handled.length === 1)
    await pass(60_000)
    expect(handled).toEqual(['k'])
    expect(await waybill!.halves.list({ states: ['committed'] })).toMatchObject([{ decidedBy: 'producer' }])
  })

  test('the same decision twice is a no-op; an id that is no half message is refused', async () => {
    const OrderPaid = paid()
    const waybill = open(OrderPaid, () => 'unknown')
    const { id } = await half(OrderPaid, waybill, 'k', 'commit')
    await waybill.transaction((tx) => waybill.decide(tx, id, 'commit'))
    expect(await inLog(waybill, { id })).toHaveLength(1)
    const unknown = waybill.transaction((tx) =>
      waybill.decide(tx, '01a1fffb-86d1-7750-811e-6769930e1c4b' as never, 'commit'),
    )
    await expect(unknown).rejects.toThrow(expect.objectContaining({ code: 'half.unknown' }))
  })

  test.each(['done', true, undefined, { decision: 'commit' }])(
    'local work that answers %j has not decided; its check will',
    async (answer) => {
      const OrderPaid = paid()
      const waybill = open(OrderPaid, () => 'commit')
      await waybill.start()
      const wrong = waybill.publishHalf(OrderPaid, { body: { id: 'k' } }, async () => answer as never)
      await expect(wrong).rejects.toThrow(expect.objectContaining({ code: 'handler.unknown-outcome' }))
      await eventually('the check decided', () => handled.length === 1)
    },
  )
})

describe('P23: two instances race to decide', () => {
  const stateAfter: Readonly<Record<Decision, string>> = { commit: 'committed', rollback: 'rolled-back' }
  const orders: readonly (readonly [Decision, Decision])[] = [
    ['commit', 'rollback'],
    ['rollback', 'commit'],
  ]

  /** Two started instances that may both decide, and one half message that nobody has decided. */
  async function contested(): Promise<{ first: Instance; second: Instance; id: HalfId }> {
    const OrderPaid = paid()
    const first = open(OrderPaid, () => 'unknown')
    const second = open(OrderPaid, () => 'unknown')
    await first.transaction((tx) => tx.exec('create table orders (decision text)'))
    await Promise.all([first.start(), second.start()])
    const { id } = await half(OrderPaid, first, 'k', 'unknown')
    return { first, second, id }
  }

  /** A business transaction that writes and decides, and ends as the test wants. */
  function decide(
    waybill: Instance,
    id: HalfId,
    decision: Decision,
    end: () => void | Promise<void> = () => {},
  ): Promise<void> {
    return waybill.transaction((tx) => {
      tx.prepare('insert into orders values (?)').run(decision)
      waybill.decide(tx, id, decision)
      return end()
    })
  }

  /** Whoever lost is told who won; its business writes are gone; the message is delivered if and only if commit won. */
  async function expectWinner(
    waybill: Instance,
    winner: Decision,
    loser: PromiseSettledResult<unknown>,
  ): Promise<void> {
    expect(outcomeOf(loser)).toEqual({
      code: 'half.already-decided',
      winner: stateAfter[winner],
      by: 'producer',
    })
    expect(await waybill.transaction((tx) => tx.prepare('select decision from orders').all())).toEqual([
      { decision: winner },
    ])
    if (winner === 'commit') await eventually('it was handled', () => handled.length > 0)
    await pass(120_000)
    expect(handled).toEqual(winner === 'commit' ? ['k'] : [])
    expect(await waybill.halves.list({ states: ['committed', 'rolled-back'] })).toMatchObject([
      { state: stateAfter[winner], decidedBy: 'producer' },
    ])
  }

  function outcomeOf(one: PromiseSettledResult<unknown>): unknown {
    if (one.status === 'fulfilled') return 'decided'
    const { code, facts } = one.reason as WaybillError
    return { code, winner: facts['winner'], by: facts['by'] }
  }

  test.each(orders)('both at once: %s comes first and wins, %s is told who won', async (winner, loser) => {
    const { first, second, id } = await contested()
    const [won, lost] = await Promise.allSettled([
      // Not committed yet when the other comes.
      decide(first, id, winner, async () => {}),
      decide(second, id, loser),
    ])
    expect(won).toMatchObject({ status: 'fulfilled' })
    await expectWinner(first, winner, lost)
  })

  test.each(orders)(
    '%s is decided in a transaction that rolls back: it was never decided, and %s wins',
    async (loser, winner) => {
      const { first, second, id } = await contested()
      const race = await Promise.allSettled([
        decide(first, id, loser, () => Promise.reject(new Error('the business change failed'))),
        decide(second, id, winner),
      ])
      expect(race.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
      const [late] = await Promise.allSettled([decide(first, id, loser)])
      await expectWinner(second, winner, late)
    },
  )

  test('many at once, in either order, against a person too: each has one winner, and what was committed is delivered once', async () => {
    const OrderPaid = paid()
    const instances = [open(OrderPaid, () => 'unknown'), open(OrderPaid, () => 'unknown')] as const
    await Promise.all(instances.map((waybill) => waybill.start()))
    const committed: string[] = []
    for (let n = 0; n < 24; n++) {
      const { id } = await half(OrderPaid, instances[0], `k${n}`, 'unknown')
      const [a, b] = n % 2 === 0 ? instances : instances.toReversed()
      const contenders: readonly (readonly [Decision, () => Promise<unknown>])[] = [
        ['commit', () => a!.transaction((tx) => a!.decide(tx, id, 'commit'))],
        ['rollback', () => b!.transaction((tx) => b!.decide(tx, id, 'rollback'))],
        [
          n % 3 === 0 ? 'commit' : 'rollback',
          () => b!.halves.decide(id, n % 3 === 0 ? 'commit' : 'rollback', person),
        ],
      ]
      const inTurn = contenders.map((_, i) => contenders[(i + n) % contenders.length]!)
      const race = await Promise.allSettled(inTurn.map(([, run]) => run()))
      const [decided] = await a!.halves.list({ id, states: ['committed', 'rolled-back'] })
      // Whoever wanted what was decided has nothing to complain about.
      expect(race.map(outcomeOf)).toEqual(
        inTurn.map(([decision]) =>
          stateAfter[decision] === decided!.state
            ? 'decided'
            : { code: 'half.already-decided', winner: decided!.state, by: decided!.decidedBy },
        ),
      )
      if (decided!.state === 'committed') committed.push(`k${n}`)
    }
    expect(committed.length).toBeGreaterThan(3)
    expect(committed.length).toBeLessThan(21)
    await eventually('what was committed was handled', () => handled.length >= committed.length)
    await pass(60_000)
    expect(handled.toSorted()).toEqual(committed.toSorted())
  })
})

type HalfId = Awaited<ReturnType<Instance['publishHalf']>>['id']
