import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { logReading } from '../log/queue-readers.ts'
import { seededRandom } from '../testing/ports.ts'
import { RelayBench, heldQueue, leaseMs, paid } from '../testing/relay-bench.ts'
import { type Sent, sent, unknown } from '../testing/scripted-carrier.ts'
import { until } from '../testing/until.ts'

let t: RelayBench

beforeEach(() => {
  t = new RelayBench()
})

afterEach(() => t.dispose())

describe('the cursor passes only what was answered', () => {
  test('P2: of a batch with an unknown in the middle only the contiguous prefix is passed, and the rest is sent again in order', async () => {
    const ids = await t.publish(5)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map((_, i) => (i === 2 ? unknown() : sent()))
    await expect(t.serve(lease!)).rejects.toThrow(/3 of 5 .*the connection broke/)
    expect(await t.cursor()).toBe(2)
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([ids, ids.slice(2)])
    expect(await t.cursor()).toBe(5)
  })

  test('P2: an unknown for the first message passes nothing', async () => {
    await t.publish(3)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => unknown())
    await expect(t.serve(lease!)).rejects.toThrow('the connection broke')
    expect(await t.cursor()).toBe(0)
    expect(t.rows('select * from waybill_relay_batches')).toEqual([])
  })

  test('a rejected promise is unknown for the whole batch', async () => {
    const ids = await t.publish(3)
    const [lease] = await t.leases()
    t.carrier.answer = () => Promise.reject(new Error('socket hang up'))
    await expect(t.serve(lease!)).rejects.toThrow(/3 of 3 .*socket hang up/)
    expect(await t.cursor()).toBe(0)
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([ids, ids])
  })

  test('what is sent again is the same message, from the same position', async () => {
    await t.publish(3, (n) => ({
      key: `order-${n}`,
      shardingKey: 'u',
      tag: 'gold',
      headers: { n: String(n) },
    }))
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => unknown())
    await expect(t.serve(lease!)).rejects.toThrow('the connection broke')
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(t.carrier.batches[1]).toEqual(t.carrier.batches[0])
    const source = `database:${await t.store.epoch()}`
    expect(t.carrier.batches[0]!.messages.map(({ from }) => from)).toEqual(
      [1, 2, 3].map((position) => ({ source, queue: 0, position })),
    )
    expect(t.carrier.batches[0]!.topics).toEqual([paid])
  })

  test('a crash after sending and before marking sends again', async () => {
    const ids = await t.publish(3)
    const [lease] = await t.leases()
    t.reached = (point) => {
      if (point === 'relay.sent-not-marked') throw new Error('crash')
    }
    await expect(t.serve(lease!)).rejects.toThrow('crash')
    t.reached = () => {}
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([ids, ids])
    expect(await t.cursor()).toBe(3)
  })

  test('a cursor that cannot be written sends again', async () => {
    const ids = await t.publish(3)
    const [lease] = await t.leases()
    const repair = t.faults.breakDown('advance')
    await expect(t.serve(lease!)).rejects.toThrow('advance did not reach the database')
    repair()
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([ids, ids])
  })

  test('a transport that answers too few outcomes loses nothing', async () => {
    const ids = await t.publish(4)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.slice(0, 2).map(() => sent())
    await expect(t.serve(lease!)).rejects.toThrow(/undefined|outcome/)
    expect(await t.cursor()).toBeLessThanOrEqual(2)
    t.carrier.answer = (batch) => batch.map(() => sent())
    await t.serve(lease!)
    expect(new Set(t.carrier.arrived.map(({ id }) => id as string))).toEqual(new Set(ids))
  })

  test('messages that were landed here came from elsewhere: the cursor passes them, the transport does not see them', async () => {
    const before = await t.publish(1)
    await t.land(2)
    const after = await t.publish(1)
    const [lease] = await t.leases()
    await t.serve(lease!)
    expect(t.carrier.ids).toEqual([[...before, ...after]])
    expect(await t.cursor()).toBe(4)
    await t.land(1)
    await t.serve(lease!)
    expect(t.carrier.batches).toHaveLength(1)
    expect(await t.cursor()).toBe(5)
  })

  test('landed messages before an unknown one are passed', async () => {
    await t.land(1)
    await t.publish(2)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map(() => unknown())
    await expect(t.serve(lease!)).rejects.toThrow('the connection broke')
    expect(await t.cursor()).toBe(1)
  })

  test('what was sent is on record with the proof of the carrier', async () => {
    await t.publish(5)
    const [lease] = await t.leases()
    t.carrier.answer = (batch) => batch.map((_, i) => (i < 3 ? sent() : unknown()))
    await expect(t.serve(lease!)).rejects.toThrow('the connection broke')
    t.carrier.answer = (batch) => batch.map(() => ({ outcome: 'sent', proof: 'proof-2' }))
    await t.serve(lease!)
    const rows = t.rows(
      'select from_pos, to_pos, count, transport, proof from waybill_relay_batches order by from_pos',
    )
    expect(rows).toEqual([
      { from_pos: 1, to_pos: 3, count: 3, transport: 'scripted', proof: 'proof-1' },
      { from_pos: 4, to_pos: 5, count: 2, transport: 'scripted', proof: 'proof-2' },
    ])
  })
})

describe('order and batches', () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed + 1))(
    'P18: each key arrives in order, whatever breaks and however much of it had arrived (seed %i)',
    async (seed) => {
      const random = seededRandom(seed)
      const ids = await t.publish(300, (n) => ({ shardingKey: `user-${n % 7}`, key: `user-${n % 7}` }))
      const arrived: Sent[] = []
      // A connection that breaks anywhere: what is behind the break did not arrive, what is before it may be answered or not.
      t.carrier.answer = (batch) => {
        const reachedCarrier = random() < 0.2 ? batch.length : Math.floor(random() * (batch.length + 1))
        arrived.push(...batch.slice(0, reachedCarrier))
        const answered = Math.floor(random() * (reachedCarrier + 1))
        return batch.map((_, i) => (i < answered ? sent() : unknown()))
      }
      const [lease] = await t.leases()
      await t.serveThrough(lease!, 200)
      const first = [...new Map(arrived.map((message) => [message.id, message])).values()]
      expect(new Set(first.map(({ id }) => id as string))).toEqual(new Set(ids))
      for (let user = 0; user < 7; user++)
        expect(first.filter(({ key }) => key === `user-${user}`).map(({ id }) => id as string)).toEqual(
          ids.filter((_, n) => n % 7 === user),
        )
    },
  )

  test('1,000 messages that wait in one queue go in batches that grow, in order', async () => {
    const ids = await t.publish(1_000)
    const [lease] = await t.leases()
    await t.serve(lease!)
    expect(t.carrier.batches.map(({ messages }) => messages.length)).toEqual([100, 200, 400, 300])
    expect(t.carrier.ids.flat()).toEqual(ids)
  })

  test('large messages go in small batches: a backlog of them does not fill the memory', async () => {
    const body = JSON.stringify('x'.repeat(256 * 1024 - 2))
    const ids = await t.publish(160, () => ({ body }))
    const [lease] = await t.leases()
    await t.serve(lease!)
    expect(t.carrier.batches.map(({ messages }) => messages.length)).toEqual([100, 32, 28])
    expect(t.carrier.ids.flat()).toEqual(ids)
  })

  test('1,000 messages in four queues go in few batches, and no statement is made per message', async () => {
    const wide = { name: 'order.wide', queues: 4 }
    const ids = await t.publish(1_000, () => ({}), wide)
    const all = await t.leases()
    for (const lease of all) await t.relay.serve(heldQueue(t.store, lease))
    expect(t.carrier.batches).toHaveLength(8)
    expect(new Set(t.carrier.ids.flat())).toEqual(new Set(ids))
    expect(t.faults.calls('advance')).toBe(8)
    expect(t.faults.calls('settle')).toBe(0)
    expect(t.faults.calls('read')).toBeLessThanOrEqual(12)
  })

  test('a drain lets the batch that is being sent finish and be marked, and begins no other', async () => {
    await t.publish(1_000)
    const [lease] = await t.leases()
    const queue = heldQueue(t.store, lease!)
    t.carrier.answer = (batch) => {
      queue.drain()
      return batch.map(() => sent())
    }
    await t.relay.serve(queue)
    expect(t.carrier.batches).toHaveLength(1)
    expect(await t.cursor()).toBe(100)
  })
})

describe('running among the readers of its database', () => {
  function running() {
    const readers = logReading(t.ports).over(t.store as never, t.ports.ids.owner(), leaseMs)
    readers.add(t.relay)
    return readers
  }
  const arrivedAll = (ids: readonly string[]): Promise<unknown> =>
    until('everything has arrived', async () => {
      await t.ports.clock.advance(100)
      const there = new Set(t.carrier.arrived.map(({ id }) => id as string))
      return ids.every((id) => there.has(id))
    })

  test('topics that appear while it runs are found', async () => {
    const readers = running()
    await readers.start()
    const ids = await t.publish(3)
    ids.push(...(await t.publish(3, () => ({}), { name: 'order.shipped', queues: 2 })))
    readers.poke()
    await arrivedAll(ids)
    ids.push(...(await t.publish(2, () => ({}), { name: 'order.packed', queues: 3 })))
    readers.poke()
    await arrivedAll(ids)
    await readers.stop(1_000)
    expect(new Set(t.carrier.batches.flatMap(({ topics }) => topics.map(({ name }) => name)))).toEqual(
      new Set(['order.paid', 'order.shipped', 'order.packed']),
    )
  })

  test('after an unknown it tries again by itself, and goes on', async () => {
    let failures = 0
    t.carrier.answer = (batch) => batch.map(() => (failures++ < 9 ? unknown() : sent()))
    const ids = await t.publish(3)
    const readers = running()
    await readers.start()
    await arrivedAll(ids)
    const later = await t.publish(2)
    readers.poke()
    await arrivedAll(later)
    await readers.stop(1_000)
    expect(t.ports.clock.pending).toBe(0)
  })

  test('a queue whose sends fail keeps no other queue waiting', async () => {
    const bad = { name: 'order.bad', queues: 1 }
    await t.publish(2, () => ({}), bad)
    const ids = await t.publish(2)
    t.carrier.answer = (batch) => batch.map(({ topic }) => (topic === bad.name ? unknown() : sent()))
    const readers = running()
    await readers.start()
    await arrivedAll(ids)
    await readers.stop(1_000)
    expect(await t.cursor(bad.name)).toBe(0)
  })
})
