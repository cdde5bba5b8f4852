import assert from 'node:assert/strict'
import { dueReader } from '../../core/delayed.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Lease, Store } from '../../core/store.ts'
import {
  type Draft,
  type StoreBench,
  type StorePromise,
  leaseMs,
  needsTimeTravel,
  paid,
  rejectsWith,
} from '../store-bench.ts'

const everything = 1_000

export const delayed: readonly StorePromise[] = [
  {
    name: 'a message that is not due is kept back; one that is due when it is appended is not',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const [now, later] = await t.publish({}, { eligibleAt: t.now + 5_000 })
      assert.deepEqual(await t.readIds(group), [now])
      assert.deepEqual(await statesIn(t, later!), ['delayed'])
      const lease = await dueLease(t)
      assert.equal(await t.dueAt(lease), t.now + 5_000)
      assert.equal(await t.store.delayed.moveDue(lease, t.now, everything), 0)
      assert.deepEqual(await t.readIds(group), [now])
    },
  },
  {
    name: 'P18: a message that is not delayed enters the log at once, also where the clock went back since it was made',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const before = { publishedAt: t.now + 3_600_000, eligibleAt: t.now + 3_600_000 }
      const made = { shardingKey: 'user-1', ...before }
      const ids = [
        ...(await t.publish(made)),
        ...(await t.publish({ shardingKey: 'user-1' })),
        ...(await t.publish(made, made)),
      ]
      assert.deepEqual(await t.readIds(group), ids)
    },
  },
  {
    name: 'P22: what is due is moved into the log, whole and once; what is not stays',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const draft = { key: 'order-1', shardingKey: 'user-1', tag: 'gold', headers: { a: 'b' } }
      const [due] = await t.publish({ ...draft, eligibleAt: t.now + 5_000 }, { eligibleAt: t.now + 60_000 })
      const dueAt = t.now + 5_000
      await t.advance(5_000)
      const lease = await dueLease(t)
      assert.equal(await t.store.delayed.moveDue(lease, t.now, everything), 1)
      assert.equal(await t.store.delayed.moveDue(lease, t.now, everything), 0)
      const [message, ...others] = await t.read(group)
      assert.deepEqual(others, [])
      const { id, key, shardingKey, tag, headers, body, eligibleAt } = message!
      assert.deepEqual(
        { id, key, shardingKey, tag, headers, body, eligibleAt },
        { id: due, ...draft, body: '{"paid":1}', eligibleAt: dueAt },
      )
      assert.equal(await t.dueAt(lease), dueAt + 55_000)
    },
  },
  {
    name: 'P18, P22: messages enter the log by due time, then by position, also in portions',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const at = (seconds: number): Draft => ({ shardingKey: 'user-1', eligibleAt: t.now + seconds * 1_000 })
      const [c, a, d, b] = await t.publish(at(9), at(3), at(9), at(5))
      await t.advance(10_000)
      const lease = await dueLease(t)
      for (const moved of [1, 2, 1, 0])
        assert.equal(await t.store.delayed.moveDue(lease, t.now, moved === 0 ? everything : moved), moved)
      assert.deepEqual(await t.readIds(group), [a, b, c, d])
      assert.equal(await t.dueAt(lease), undefined)
    },
  },
  {
    name: 'a delayed message of a transaction that rolls back is nowhere',
    async run(t) {
      const lease = await dueLease(t)
      await assert.rejects(
        t.transaction(async (tx) => {
          await t.appendIn(tx, { eligibleAt: t.now + 5_000 })
          throw new Error('no')
        }),
      )
      assert.equal(await t.dueAt(lease), undefined)
      assert.deepEqual(await t.store.search({ state: 'delayed' }), [])
    },
  },
  {
    name: 'P27: a dedup key guards a delayed message too',
    async run(t) {
      const draft = { dedupKey: 'order-1', eligibleAt: t.now + 5_000 }
      const [first] = await t.append(draft)
      const [second] = await t.append(draft)
      assert.deepEqual(second, { id: first!.id, duplicate: true })
      assert.equal((await t.store.search({ state: 'delayed' })).length, 1)
    },
  },
  {
    name: 'P16: whoever lost the lease moves nothing',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const ids = await t.publish({ eligibleAt: t.now + 1_000 })
      const { stale, current } = await t.zombie(await dueLease(t))
      await rejectsWith('store.lease-lost', () => t.store.delayed.moveDue(stale, t.now, everything))
      assert.deepEqual(await t.readIds(group), [])
      assert.equal(await t.store.delayed.moveDue(current, t.now, everything), 1)
      assert.deepEqual(await t.readIds(group), ids)
    },
  },
  {
    name: 'P22: under two owners, one of which believes in a lease that lapsed, each due message is moved once',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const ids = await t.publish(
        ...Array.from({ length: 50 }, (_, n) => ({ eligibleAt: t.now + 1_000 + n })),
      )
      const { stale, current } = await t.zombie(await dueLease(t))
      await t.advance(leaseMs / 2)
      const { store } = await t.another()
      const movers: readonly [Store<unknown>, Lease][] = [
        [t.store, current],
        [store, stale],
        [store, current],
      ]
      const moved = await Promise.allSettled(
        Array.from({ length: 10 }, () => movers)
          .flat()
          .map(([from, lease]) => from.delayed.moveDue(lease, t.now, 7)),
      )
      const count = moved.reduce((sum, one) => sum + (one.status === 'fulfilled' ? one.value : 0), 0)
      assert.equal(count, 50)
      assert.deepEqual(await t.readIds(group), ids)
    },
  },
  {
    name: 'P22: cancel by key or id takes back what still waits, and answers only that',
    async run(t) {
      const later = { eligibleAt: t.now + 5_000 }
      const lease = await dueLease(t)
      const [a, b, c] = await t.publish(
        { key: 'order-1', ...later },
        { key: 'order-1', ...later },
        { key: 'order-2', ...later },
      )
      await t.publish({ key: 'order-1' })
      assert.deepEqual((await cancel(t, { key: 'order-1' })).toSorted(), [a!, b!].toSorted())
      assert.deepEqual(await cancel(t, { key: 'order-1' }), [])
      assert.deepEqual(await cancel(t, { id: c! }), [c])
      assert.deepEqual(await cancel(t, { id: t.subject.ports.ids.message() }), [])
      assert.equal(await t.dueAt(lease), undefined)
      const [found] = await t.store.search({ id: c! })
      const { state, because } = found!.groups[0]!
      assert.deepEqual({ state, because }, { state: 'cancelled', because: 'paid' })
    },
  },
  {
    name: 'cancel takes back only what this service published on this topic',
    async run(t) {
      await t.topic({ name: 'order.shipped', queues: 1 })
      const later = { key: 'order-1', eligibleAt: t.now + 5_000 }
      const [own, shipped, foreign] = await t.publish(
        later,
        { ...later, topic: 'order.shipped' },
        { ...later, service: 'elsewhere' },
      )
      assert.deepEqual(await cancel(t, { key: 'order-1' }), [own])
      assert.deepEqual(await cancel(t, { id: shipped! }), [])
      assert.deepEqual(await cancel(t, { id: foreign! }), [])
      assert.deepEqual(await statesIn(t, shipped!), ['delayed'])
      assert.deepEqual(await statesIn(t, foreign!), ['delayed'])
    },
  },
  {
    name: 'P22: what was moved is too late to cancel',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const ids = await t.publish({ key: 'order-1', eligibleAt: t.now + 1_000 })
      await t.advance(1_000)
      await t.store.delayed.moveDue(await dueLease(t), t.now, everything)
      assert.deepEqual(await cancel(t, { key: 'order-1' }), [])
      assert.deepEqual(await t.readIds(group), ids)
    },
  },
  {
    name: 'P22: a cancel that holds its transaction open at the due moment: what it took back is moved only if it rolls back',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const lease = await dueLease(t)
      const { store } = await t.another()
      for (const end of ['commit', 'rollback'] as const) {
        const [id] = await t.publish({ key: end, eligibleAt: t.now + 1_000 })
        await t.advance(1_000)
        let moving: Promise<number> = Promise.resolve(0)
        const cancelling = t.transaction(async (tx) => {
          assert.deepEqual(await t.store.delayed.cancel(tx, which({ key: end }), 'paid'), [id])
          moving = store.delayed.moveDue(lease, t.now, everything)
          if (end === 'rollback') throw new Error('no')
        })
        if (end === 'commit') await cancelling
        else await assert.rejects(cancelling)
        assert.equal(await moving, end === 'commit' ? 0 : 1)
        assert.equal((await t.readIds(group)).includes(id!), end === 'rollback')
        assert.equal((await statesIn(t, id!)).includes('cancelled'), end === 'commit')
      }
    },
  },
  {
    name: 'P22: at the due moment, what two processes cancel and move at once is cancelled or in the log, never both, never neither',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const lease = await dueLease(t)
      const { store } = await t.another()
      const race = async (round: number): Promise<{ cancelled: number; logged: number }> => {
        const before = (await t.readIds(group)).length
        const ids = await t.publish(
          ...Array.from({ length: 60 }, (_, n) => ({
            key: `order-${round}-${n}`,
            eligibleAt: t.now + 1_000,
          })),
        )
        await t.advance(1_000)
        const cancelled: MessageId[] = []
        // From the far end, so that the two meet.
        const racing = ids.toReversed().flatMap((id, n) => [
          t.transaction(async (tx) => {
            cancelled.push(...(await t.store.delayed.cancel(tx, which({ id }), 'paid')))
          }),
          ...(n % 3 === 0 ? [store.delayed.moveDue(lease, t.now, 5)] : []),
        ])
        await Promise.all(racing)
        const logged = (await t.readIds(group)).slice(before)
        assert.deepEqual([...cancelled, ...logged].toSorted(), ids.toSorted())
        // In the order of their due times, whichever of them were taken back in between.
        assert.deepEqual(
          logged,
          ids.filter((id) => logged.includes(id)),
        )
        for (const id of cancelled) assert.deepEqual(await statesIn(t, id), ['cancelled'])
        return { cancelled: cancelled.length, logged: logged.length }
      }
      // A machine that is busy with other things may give one of them all turns of a race.
      for (let round = 0; round < 10; round++) {
        const { cancelled, logged } = await race(round)
        if (cancelled > 0 && logged > 0) return
      }
      assert.fail('one of the two had all turns of ten races')
    },
  },
  {
    name: 'P22: a cancel in a transaction that rolls back cancels nothing',
    async run(t) {
      const [id] = await t.publish({ key: 'order-1', eligibleAt: t.now + 5_000 })
      await assert.rejects(
        t.transaction(async (tx) => {
          assert.deepEqual(await t.store.delayed.cancel(tx, which({ key: 'order-1' }), 'paid'), [id])
          throw new Error('no')
        }),
      )
      assert.deepEqual(await statesIn(t, id!), ['delayed'])
      assert.deepEqual(await cancel(t, { key: 'order-1' }), [id])
    },
  },
  {
    name: 'purge keeps what is not due, however old it is',
    missing: needsTimeTravel,
    async run(t) {
      const [id] = await t.publish({ eligibleAt: t.now + 3_600_000 })
      await t.advance(1_800_000)
      await t.store.purge(t.now)
      assert.deepEqual(await statesIn(t, id!), ['delayed'])
    },
  },
]

async function dueLease(t: StoreBench): Promise<Lease> {
  await t.store.declareReader(dueReader, [paid], 'oldest')
  return t.lease(dueReader)
}

function which<K>(one: K): K & { service: string; topic: string } {
  return { service: 'order', topic: paid.name, ...one }
}

function cancel(
  t: StoreBench,
  one: { readonly id: MessageId } | { readonly key: string },
): Promise<readonly MessageId[]> {
  return t.transaction(async (tx) => t.store.delayed.cancel(tx, which(one), 'paid'))
}

/** Where a message stands that no group has seen. */
async function statesIn(t: StoreBench, id: MessageId): Promise<readonly string[]> {
  return (await t.store.search({ id })).flatMap(({ groups }) => groups.map(({ state }) => state))
}
