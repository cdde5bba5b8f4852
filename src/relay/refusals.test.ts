import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RelayBench } from '../testing/relay-bench.ts'
import { refused, sent, unknown } from '../testing/scripted-carrier.ts'
import { relayReader } from './relay.ts'

const operator = { by: 'test', because: 'testing' }

let t: RelayBench

beforeEach(() => {
  t = new RelayBench()
})

afterEach(() => t.dispose())

describe('what the transport refuses', () => {
  test('is a dead letter of @relay, in plain sight; the others are sent and the cursor passes', async () => {
    const ids = await t.publish(3, (n) => ({ key: `order-${n}` }))
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map((_, i) => (i === 1 ? refused() : sent()))
    await t.serve(lease!)
    expect(await t.cursor()).toBe(3)
    expect(t.carrier.ids).toEqual([ids])
    expect(await t.store.deadLetters({})).toMatchObject([
      {
        group: relayReader,
        id: ids[1],
        key: 'order-1',
        cause: 'transport.refused',
        because: 'too large for this broker',
        generation: 0,
      },
    ])
    const [found] = await t.store.search({ key: 'order-1', state: 'dead' })
    expect(found).toMatchObject({
      id: ids[1],
      groups: expect.arrayContaining([expect.objectContaining({ group: relayReader, state: 'dead' })]),
    })
    expect(t.rows('select count from waybill_relay_batches')).toEqual([{ count: 2 }])
  })

  test('all of a batch: each is a dead letter, and nothing is on record as sent', async () => {
    await t.publish(3)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => refused())
    await t.serve(lease!)
    expect(await t.store.deadLetters({})).toHaveLength(3)
    expect(await t.cursor()).toBe(3)
    expect(t.rows('select * from waybill_relay_batches')).toEqual([])
  })

  test('before an unknown: it is buried once, whatever is sent again', async () => {
    const ids = await t.publish(4)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => [refused(), sent(), unknown(), refused()].slice(0, batch.length)
    await expect(t.serve(lease!)).rejects.toThrow('the connection broke')
    expect((await t.store.deadLetters({})).map(({ id }) => id)).toEqual([ids[0]])
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(t.carrier.ids[1]).toEqual(ids.slice(2))
    expect(await t.store.deadLetters({})).toHaveLength(1)
  })

  test('and a crash before the cursor is written: it stays the one dead letter and is not sent again', async () => {
    const ids = await t.publish(3)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(({ id }) => (id === ids[1] ? refused() : sent()))
    const repair = t.faults.breakDown('advance')
    await expect(t.serve(lease!)).rejects.toThrow('did not reach the database')
    repair()
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([ids, [ids[0], ids[2]]])
    expect(await t.store.deadLetters({})).toHaveLength(1)
    expect(await t.cursor()).toBe(3)
  })

  test('redriven, it is sent again and ends as done', async () => {
    const ids = await t.publish(2, (n) => ({ body: `{"n":${n}}`, headers: { n: String(n) } }))
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(({ id }) => (id === ids[0] ? refused() : sent()))
    await t.serve(lease!)
    expect(await t.store.redrive([{ group: relayReader, id: ids[0] as never }], operator)).toBe(1)
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([ids, [ids[0]]])
    expect(t.carrier.batches[1]!.messages[0]).toMatchObject({ body: '{"n":0}', headers: { n: '0' } })
    expect(await t.store.deadLetters({})).toEqual([])
    const states = await t.store.dispositions(lease!, ids as never[])
    expect(states.get(ids[0] as never)).toBe('done')
    expect(await t.store.redrive([{ group: relayReader, id: ids[0] as never }], operator)).toBe(0)
    await t.serve(lease!)
    expect(t.carrier.batches).toHaveLength(2)
    expect(t.rows('select * from waybill_copies')).toEqual([])
  })

  test('redriven after the log has dropped the message, it is sent from its copy', async () => {
    const ids = await t.publish(1, () => ({ body: '{"kept":true}', key: 'order-1' }))
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => refused())
    await t.serve(lease!)
    expect(await t.store.purge(t.ports.clock.now() + 1)).toBe(1)
    await t.store.redrive([{ group: relayReader, id: ids[0] as never }], operator)
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(t.carrier.arrived).toMatchObject([{ id: ids[0], body: '{"kept":true}', key: 'order-1' }])
  })

  test('redriven and refused again, it is a dead letter again, one generation later', async () => {
    const ids = await t.publish(1)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => refused())
    await t.serve(lease!)
    await t.store.redrive([{ group: relayReader, id: ids[0] as never }], operator)
    t.carrier.answer = (batch) => batch.map(() => refused('still too large'))
    await t.serve(lease!)
    expect(await t.store.deadLetters({})).toMatchObject([
      { id: ids[0], generation: 1, because: 'still too large' },
    ])
  })

  test('redriven and unknown, it is sent again', async () => {
    const ids = await t.publish(1)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => refused())
    await t.serve(lease!)
    await t.store.redrive([{ group: relayReader, id: ids[0] as never }], operator)
    t.carrier.answer = (batch) => batch.map(() => unknown())
    await expect(t.serve(lease!)).rejects.toThrow('the connection broke')
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([ids, ids, ids])
    expect(await t.store.deadLetters({})).toEqual([])
  })
})

describe('P16: a relay whose lease was taken over', () => {
  test('may send, but changes nothing', async () => {
    await t.publish(3)
    const stale = await t.staleLease()
    await expect(t.serve(stale)).rejects.toMatchObject({ code: 'store.lease-lost' })
    expect(await t.cursor()).toBe(0)
    expect(t.rows('select * from waybill_relay_batches')).toEqual([])
  })

  test('buries nothing', async () => {
    await t.publish(3)
    const stale = await t.staleLease()
    t.carrier.answer = (batch) => batch.map(() => refused())
    await expect(t.serve(stale)).rejects.toMatchObject({ code: 'store.lease-lost' })
    expect(await t.store.deadLetters({})).toEqual([])
    expect(await t.cursor()).toBe(0)
  })

  test('settles no redrive', async () => {
    const ids = await t.publish(1)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => refused())
    await t.serve(lease!)
    await t.store.redrive([{ group: relayReader, id: ids[0] as never }], operator)
    t.carrier.answer = async (batch) => {
      await t.staleLease(lease)
      return batch.map(() => sent())
    }
    await expect(t.serve(lease!)).rejects.toMatchObject({ code: 'store.lease-lost' })
    expect((await t.store.dispositions(lease!, ids as never[])).get(ids[0] as never)).toBe('retrying')
  })
})
