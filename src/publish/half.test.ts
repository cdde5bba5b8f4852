import { describe, expect, test } from 'vitest'
import type { HalfAnswer } from '../index.ts'
import {
  type Check,
  type Instance,
  clock,
  eventually,
  half,
  handled,
  inLog,
  open,
  paid,
  pass,
  person,
} from './half.fixture.ts'

describe('the local work decides', () => {
  test('commit: consumers get it; rollback: they never do', async () => {
    const OrderPaid = paid()
    const waybill = open(OrderPaid, () => 'unknown')
    await waybill.start()
    expect(await half(OrderPaid, waybill, 'kept', 'commit')).toMatchObject({ decision: 'commit' })
    expect(await half(OrderPaid, waybill, 'gone', 'rollback')).toMatchObject({ decision: 'rollback' })
    await eventually('it was handled', () => handled.length === 1)
    expect(handled).toEqual(['kept'])
    expect(await waybill.search({ key: 'gone' })).toMatchObject([{ groups: [{ state: 'rolled-back' }] }])
  })

  test('it is invisible until it is decided', async () => {
    const OrderPaid = paid()
    const waybill = open(OrderPaid, () => 'unknown')
    await waybill.start()
    let seen: unknown
    await waybill.publishHalf(OrderPaid, { key: 'k', body: { id: 'k' } }, async (prepared) => {
      await pass(1_000)
      seen = { handled: [...handled], found: await waybill.search({ id: prepared.id }) }
      return 'commit'
    })
    expect(seen).toMatchObject({ handled: [], found: [{ groups: [{ state: 'in-doubt' }] }] })
  })

  test('P25: without a check-back it is refused before anything is written', async () => {
    const OrderPaid = paid()
    const waybill = open(OrderPaid)
    let ran = false
    const refused = waybill.publishHalf(OrderPaid, { body: { id: '1' } }, async () => {
      ran = true
      return 'commit'
    })
    await expect(refused).rejects.toThrow(expect.objectContaining({ code: 'half.no-check-back' }))
    expect(ran).toBe(false)
    expect(await waybill.halves.list()).toEqual([])
  })

  test('P23: decided inside the business transaction, it is in the log if and only if that commits', async () => {
    const OrderPaid = paid()
    const waybill = open(OrderPaid, () => 'rollback')
    await waybill.start()
    await waybill.transaction((tx) => tx.exec('create table orders (id text primary key)'))
    const buy = (id: string, fails: boolean): Promise<unknown> =>
      waybill.publishHalf(OrderPaid, { key: id, body: { id } }, async (prepared) => {
        await waybill.transaction((tx) => {
          tx.prepare('insert into orders values (?)').run(id)
          waybill.decide(tx, prepared.id, 'commit')
          if (fails) throw new Error('the database said no')
        })
        return 'commit'
      })
    await buy('1', false)
    await expect(buy('2', true)).rejects.toThrow('the database said no')
    await eventually(
      'the check rolled it back',
      async () => (await waybill.search({ key: '2', state: 'rolled-back' })).length === 1,
    )
    expect(handled).toEqual(['1'])
  })

  test('P23: a slow local transaction is not checked while it lives, however long it takes', async () => {
    const OrderPaid = paid()
    let checks = 0
    const waybill = open(OrderPaid, () => {
      checks++
      return 'rollback'
    })
    await waybill.start()
    const result = await waybill.publishHalf(OrderPaid, { body: { id: 'slow' } }, async () => {
      await pass(60_000)
      return 'commit'
    })
    expect(result.decision).toBe('commit')
    expect(checks).toBe(0)
    await eventually('it was handled', () => handled.length === 1)
  })

  test('P27: a dedup key that an undecided half holds answers pending; a roll-back frees it', async () => {
    const OrderPaid = paid()
    const waybill = open(OrderPaid, () => 'unknown')
    const again = (answer: HalfAnswer): ReturnType<Instance['publishHalf']> =>
      waybill.publishHalf(OrderPaid, { dedupKey: 'order-1', body: { id: '1' } }, async () => answer)
    const first = await again('unknown')
    expect(await again('commit')).toEqual({ id: first.id, decision: 'pending' })
    await waybill.halves.decide(first.id, 'rollback', person)
    expect(await again('commit')).toMatchObject({ decision: 'commit' })
    expect(await again('commit')).toMatchObject({ decision: 'commit' })
    expect(await inLog(waybill, { topic: 'order.paid' })).toHaveLength(1)
  })
})

test('P27: publishing under a dedup key that an undecided half holds is refused, since it may still roll back', async () => {
  const OrderPaid = paid()
  const waybill = open(OrderPaid, () => 'unknown')
  const message = { dedupKey: 'order-1', body: { id: '1' } }
  const { id } = await waybill.publishHalf(OrderPaid, message, async () => 'unknown')
  await expect(waybill.publishNow(OrderPaid, message)).rejects.toThrow(
    expect.objectContaining({ code: 'publish.dedup-pending', facts: { holder: id } }),
  )
  await waybill.halves.decide(id, 'commit', person)
  expect(await waybill.publishNow(OrderPaid, message)).toBe(id)
})

describe('check-backs', () => {
  test('first after 6 s, then every 30 s, fifteen answered, then in doubt: visible, and never dropped by count', async () => {
    const OrderPaid = paid()
    const times: number[] = []
    const start = clock.now()
    const waybill = open(OrderPaid, () => {
      times.push(clock.now() - start)
      return 'unknown'
    })
    await waybill.start()
    await half(OrderPaid, waybill, 'k', 'unknown')
    await pass(10 * 60_000)
    await eventually(
      'it is in doubt',
      async () => (await waybill.halves.list({ states: ['in-doubt'] })).length === 1,
    )
    expect(times).toHaveLength(15)
    expect(times[0]).toBeGreaterThanOrEqual(6_000)
    expect(times[0]).toBeLessThan(9_000)
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(30_000)
    await pass(3_600_000)
    expect(times).toHaveLength(15)
    const [doubtful] = await waybill.halves.list()
    expect(doubtful).toMatchObject({ state: 'in-doubt', checks: 15, key: 'k' })
    await waybill.halves.decide(doubtful!.id, 'commit', person)
    await eventually('it was handled', () => handled.length === 1)
    expect(await waybill.halves.list({ states: ['committed'] })).toMatchObject([
      { decidedBy: 'person', because: 'ann: looked it up' },
    ])
  })

  test('the producer died before its decision: another instance answers with the body at hand', async () => {
    const OrderPaid = paid()
    const dying = open(OrderPaid, () => 'unknown')
    await half(OrderPaid, dying, 'orphan', 'unknown')
    await dying.stop({ withinMs: 0 })
    const asked: string[] = []
    const other = open(OrderPaid, (id) => {
      asked.push(id)
      return 'commit'
    })
    await other.start()
    await eventually('it was handled', () => handled.length === 1)
    expect(asked).toEqual(['orphan'])
  })

  test('P25: a check that throws or hangs counts for nothing and decides nothing', async () => {
    const OrderPaid = paid({ checks: 3, checkEvery: '10s', checkTimeout: '2s' })
    let asked = 0
    const waybill = open(OrderPaid, () => {
      asked++
      if (asked > 12) return 'commit'
      if (asked % 2 === 0) throw new Error('the order database is down')
      return new Promise<HalfAnswer>(() => {})
    })
    await waybill.start()
    await half(OrderPaid, waybill, 'k', 'unknown')
    await eventually(
      'it failed more often than it may be answered',
      async () => ((await waybill.halves.list())[0]?.failures ?? 0) >= 6,
    )
    expect(await waybill.halves.list()).toMatchObject([{ state: 'prepared', checks: 0 }])
    await eventually('it was handled at last', () => handled.length === 1)
  })

  test('P25: a check that answers after its time-out is not heard; whoever is asked next decides', async () => {
    const OrderPaid = paid({ checkEvery: '10s', checkTimeout: '2s' })
    const answers: ((answer: HalfAnswer) => void)[] = []
    const waybill = open(OrderPaid, () => new Promise<HalfAnswer>((answer) => void answers.push(answer)))
    await waybill.start()
    await half(OrderPaid, waybill, 'k', 'unknown')
    await eventually('it was asked and took too long', async () => {
      const [undecided] = await waybill.halves.list()
      return undecided?.failures === 1
    })
    answers[0]!('rollback')
    await pass(1_000)
    expect(await waybill.halves.list()).toMatchObject([{ state: 'prepared', checks: 0, failures: 1 }])
    await eventually('it was asked again', () => answers.length === 2)
    answers[1]!('commit')
    await eventually('it was handled', () => handled.length === 1)
    expect(await waybill.halves.list({ states: ['committed'] })).toMatchObject([{ decidedBy: 'check-back' }])
  })

  test('P25: an hour without any producer changes nothing, also where others run that cannot answer; the first that can is asked', async () => {
    const OrderPaid = paid()
    const dying = open(OrderPaid, () => 'unknown')
    await half(OrderPaid, dying, 'k', 'unknown')
    await dying.stop({ withinMs: 0 })
    const consumer = open(OrderPaid)
    await consumer.start()
    await pass(3_600_000)
    expect(await consumer.halves.list()).toMatchObject([{ state: 'prepared', checks: 0, failures: 0 }])
    let asked = 0
    const back = open(OrderPaid, () => {
      asked++
      return 'commit'
    })
    await back.start()
    await eventually('it was handled', () => handled.length === 1)
    expect(asked).toBe(1)
    expect(await back.halves.list({ states: ['committed'] })).toMatchObject([
      { checks: 0, failures: 0, decidedBy: 'check-back' },
    ])
  })

  test('two instances that may both answer check each half once at a time', async () => {
    const OrderPaid = paid()
    let running = 0
    let most = 0
    const check: Check = async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return 'unknown' as const
    }
    const first = open(OrderPaid, check)
    await Promise.all([first.start(), open(OrderPaid, check).start()])
    await half(OrderPaid, first, 'k', 'unknown')
    await pass(200_000)
    expect(most).toBe(1)
  })

  test('stop does not wait for a hanging check longer than it may; the half message is asked about again', async () => {
    const OrderPaid = paid({ checkTimeout: '10m' })
    const asked = Promise.withResolvers<void>()
    const hanging = open(OrderPaid, () => {
      asked.resolve()
      return new Promise<HalfAnswer>(() => {})
    })
    await hanging.start()
    await half(OrderPaid, hanging, 'k', 'unknown')
    await Promise.all([asked.promise, pass(8_000)])
    const before = clock.now()
    let stoppedAt = 0
    const stopping = hanging.stop({ withinMs: 2_000 }).then(() => (stoppedAt = clock.now()))
    await eventually('it has stopped', () => stoppedAt > 0)
    await stopping
    expect(stoppedAt - before).toBeLessThan(60_000)
    const back = open(paid(), () => 'commit')
    await back.start()
    await pass(10 * 60_000)
    await eventually('it was handled', () => handled.length === 1)
  })

  test('pay or expire: unknown until paid or the time is up, then rolled back as expired, at the deadline', async () => {
    const OrderPaid = paid({ expireAfter: '15m', checkEvery: '40s' })
    const payments = new Set<string>()
    const waybill = open(OrderPaid, (id) => (payments.has(id) ? 'commit' : 'unknown'))
    await waybill.start()
    await half(OrderPaid, waybill, 'paid-late', 'unknown')
    await half(OrderPaid, waybill, 'never-paid', 'unknown')
    await pass(10 * 60_000)
    expect(await waybill.halves.list()).toHaveLength(2)
    payments.add('paid-late')
    await pass(6 * 60_000)
    await eventually('both are decided', async () => (await waybill.halves.list()).length === 0)
    expect(handled).toEqual(['paid-late'])
    expect(await waybill.search({ key: 'never-paid' })).toMatchObject([{ groups: [{ state: 'expired' }] }])
  })

  test.each(['commit', 'rollback'] as const)(
    "a topic's own policy decides when its checks are used up: %s",
    async (whenExhausted) => {
      const OrderPaid = paid({ checks: 2, checkEvery: '5s', whenExhausted })
      const waybill = open(OrderPaid, () => 'unknown')
      await waybill.start()
      await half(OrderPaid, waybill, 'k', 'unknown')
      await eventually('it is decided', async () => (await waybill.halves.list()).length === 0)
      expect(await waybill.halves.list({ states: ['committed', 'rolled-back'] })).toMatchObject([
        { decidedBy: 'policy', state: whenExhausted === 'commit' ? 'committed' : 'rolled-back' },
      ])
    },
  )
})
