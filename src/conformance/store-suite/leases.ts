import assert from 'node:assert/strict'
import type { OwnerId } from '../../core/ids.ts'
import type { ReaderMembership, Share } from '../../core/store.ts'
import { type StoreBench, type StorePromise, leaseMs, needsTimeTravel, queuesOf } from '../store-bench.ts'

const wide = { name: 'order.wide', queues: 8 }

/** DESIGN §6, 4: instances share queues evenly, hand over at once, and are never two on one queue. */
export const leases: readonly StorePromise[] = [
  {
    name: 'a lone owner gets every queue, each with its cursor',
    async run(t) {
      await wideGroup(t)
      const share = await t.share(t.owner(), 'coupon')
      assert.deepEqual(
        share.leases.map(({ topic, queue }) => ({ topic, queue })),
        queuesOf([wide]),
      )
      assert.deepEqual(
        share.leases.map(({ position }) => position),
        Array.from({ length: 8 }, () => 0),
      )
      assert.equal(share.surplus, 0)
      assert.equal(share.reader, 'coupon')
    },
  },
  {
    name: 'owners come to share the queues evenly',
    async run(t) {
      await wideGroup(t)
      for (const [count, shares] of [
        [2, [4, 4]],
        [3, [2, 3, 3]],
      ] as const) {
        const owners = Array.from({ length: count }, () => t.owner())
        const settled = await settleShares(t, owners)
        assert.deepEqual(settled.map(({ leases: held }) => held.length).toSorted(), shares)
        assert.deepEqual(
          settled.map(({ surplus }) => surplus),
          owners.map(() => 0),
        )
        await retire(t, owners, settled)
      }
    },
  },
  {
    name: 'with more owners than queues, some hold nothing',
    async run(t) {
      await t.group('coupon')
      const settled = await settleShares(t, [t.owner(), t.owner(), t.owner()])
      assert.deepEqual(settled.map(({ leases: held }) => held.length).toSorted(), [0, 0, 1])
    },
  },
  {
    name: 'a queue is never held by two owners',
    async run(t) {
      await wideGroup(t)
      const owners = [t.owner(), t.owner(), t.owner()]
      const settled = await settleShares(t, owners)
      const held = settled.flatMap((share) => share.leases.map(({ queue }) => queue))
      assert.equal(new Set(held).size, held.length)
      assert.equal(held.length, 8)
    },
  },
  {
    name: 'a newcomer gets nothing until others hand over; they are told how many are too many',
    async run(t) {
      await wideGroup(t)
      const [old, young] = [t.owner(), t.owner()]
      await t.share(old, 'coupon')
      const newcomer = await t.share(young, 'coupon')
      assert.deepEqual(newcomer.leases, [])
      const told = await t.share(old, 'coupon')
      assert.equal(told.leases.length, 8)
      assert.equal(told.surplus, 4)
    },
  },
  {
    name: 'a released queue is free at once, for whoever comes next',
    async run(t) {
      await wideGroup(t)
      const [old, young] = [t.owner(), t.owner()]
      const { leases: all } = await t.share(old, 'coupon')
      await t.share(young, 'coupon')
      await t.store.release(all.slice(0, 4))
      const { leases: taken } = await t.share(young, 'coupon')
      assert.deepEqual(
        taken.map(({ queue }) => queue),
        all.slice(0, 4).map(({ queue }) => queue),
      )
    },
  },
  {
    name: 'release ignores a stale lease: the new owner keeps it',
    missing: needsTimeTravel,
    async run(t) {
      const { stale, current } = await t.zombie(await t.groupWithLease('coupon'))
      await t.store.release([stale])
      await t.store.advance(current, 5)
      assert.deepEqual((await t.share(t.owner(), 'coupon')).leases, [])
    },
  },
  {
    name: 'a lease that was released is refused from then on, also to its former owner',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.store.release([lease])
      await assert.rejects(t.store.advance(lease, 1), { code: 'store.lease-lost' })
      const again = await t.lease('coupon', lease.owner)
      assert.ok(again.fence > lease.fence)
      await assert.rejects(t.store.advance(lease, 1), { code: 'store.lease-lost' })
    },
  },
  {
    name: 'a lease that is renewed stays, with the same fence, for as long as heartbeats come',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const rival = t.owner()
      for (let beats = 0; beats < 5; beats++) {
        await t.advance(leaseMs * 0.6)
        const [renewed] = (await t.share(lease.owner, 'coupon')).leases
        assert.equal(renewed?.fence, lease.fence)
        assert.deepEqual((await t.share(rival, 'coupon')).leases, [])
      }
    },
  },
  {
    name: 'a queue is taken over only after its lease has lapsed, and the fence grows',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const rival = t.owner()
      // The rival's share is the queue from now on, and still it has to wait.
      await t.store.leave(lease.owner)
      await t.advance(leaseMs - 1)
      assert.equal(await t.store.hasOpening(rival, [t.membership('coupon')]), false)
      assert.deepEqual((await t.share(rival, 'coupon')).leases, [])
      await t.advance(2)
      assert.equal(await t.store.hasOpening(rival, [t.membership('coupon')]), true)
      const [taken] = (await t.share(rival, 'coupon')).leases
      assert.ok(taken && taken.fence > lease.fence)
      assert.equal(taken.owner, rival)
    },
  },
  {
    name: 'an owner that was away and finds its lapsed lease untouched goes on with it',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.advance(leaseMs * 3)
      const [back] = (await t.share(lease.owner, 'coupon')).leases
      assert.ok(back)
      await t.store.advance(back, 1)
    },
  },
  {
    name: 'each take-over raises the fence, also after a release',
    async run(t) {
      await t.group('coupon')
      let fence = 0
      for (let round = 0; round < 3; round++) {
        const lease = await t.lease('coupon')
        assert.ok(lease.fence > fence)
        fence = lease.fence
        await t.store.release([lease])
        await t.store.leave(lease.owner)
      }
    },
  },
  {
    name: 'the lease carries the cursor that its predecessor reached',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(3)
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[1]!.position)
      await t.store.release([lease])
      await t.store.leave(lease.owner)
      assert.equal((await t.lease('coupon')).position, messages[1]!.position)
    },
  },
  {
    name: 'the lease carries where its reader began, whatever has been read since',
    async run(t) {
      await t.publishMany(2)
      const lease = await t.groupWithLease('coupon', { from: 'now' })
      assert.equal(lease.start, lease.position)
      await t.publishMany(2)
      const messages = await t.read(lease)
      assert.equal(messages.length, 2)
      await t.store.advance(lease, messages[1]!.position)
      await t.store.release([lease])
      const again = await t.lease('coupon', lease.owner)
      assert.deepEqual([again.start, again.position], [lease.start, messages[1]!.position])
    },
  },
  {
    name: 'the others’ share grows at once when an owner leaves',
    async run(t) {
      await wideGroup(t)
      const owners = [t.owner(), t.owner()]
      const [first, second] = await settleShares(t, owners)
      await t.store.release(first!.leases)
      await t.store.leave(owners[0]!)
      assert.equal(await t.store.hasOpening(owners[1]!, [membership()]), true)
      const grown = await t.share(owners[1]!, 'coupon')
      assert.equal(grown.leases.length, 8)
      assert.equal(second!.leases.length, 4)
    },
  },
  {
    name: 'an owner that stopped announcing itself no longer counts once its time is up',
    missing: needsTimeTravel,
    async run(t) {
      await wideGroup(t)
      const owners = [t.owner(), t.owner()]
      await settleShares(t, owners)
      await t.advance(leaseMs + 1)
      const { leases: all, surplus } = await t.share(owners[0]!, 'coupon')
      assert.equal(all.length, 8)
      assert.equal(surplus, 0)
    },
  },
  {
    name: 'one heartbeat serves several readers, each shared for itself',
    async run(t) {
      await wideGroup(t)
      await t.group('logistics')
      const owner = t.owner()
      const shares = await t.store.share(owner, [membership(), t.membership('logistics')], leaseMs)
      assert.deepEqual(
        shares.map(({ reader, leases: held }) => [reader, held.length]),
        [
          ['coupon', 8],
          ['logistics', 1],
        ],
      )
    },
  },
  {
    name: 'an owner takes only the queues that it names',
    async run(t) {
      await t.topic(wide)
      await t.group('coupon', { topics: [wide, { name: 'order.paid', queues: 1 }] })
      const [share] = await t.store.share(
        t.owner(),
        [{ ...t.membership('coupon'), queues: queuesOf([wide]) }],
        leaseMs,
      )
      assert.equal(share!.leases.length, 8)
      assert.ok(share!.leases.every(({ topic }) => topic === wide.name))
    },
  },
  {
    name: 'a reader without a group, such as a relay, is shared alike',
    async run(t) {
      await t.store.declareReader('@relay', [wide], 'oldest')
      const owner = t.owner()
      const relay: ReaderMembership = {
        reader: '@relay',
        version: 1,
        queues: queuesOf([wide]),
        runningMax: 100,
      }
      const [share] = await t.store.share(owner, [relay], leaseMs)
      assert.equal(share!.leases.length, 8)
      const [other] = await t.store.share(t.owner(), [relay], leaseMs)
      assert.deepEqual(other!.leases, [])
    },
  },
  {
    name: 'hasOpening: nothing is to be won while all is held and the share stands',
    async run(t) {
      await wideGroup(t)
      const owners = [t.owner(), t.owner()]
      await settleShares(t, owners)
      for (const owner of owners) assert.equal(await t.store.hasOpening(owner, [membership()]), false)
    },
  },
  {
    name: 'hasOpening: a queue that is free, or whose lease has lapsed, is an opening',
    missing: needsTimeTravel,
    async run(t) {
      await wideGroup(t)
      const [first, second] = [t.owner(), t.owner()]
      assert.equal(await t.store.hasOpening(first, [membership()]), true)
      const { leases: all } = await t.share(first, 'coupon')
      await t.share(second, 'coupon')
      assert.equal(await t.store.hasOpening(second, [membership()]), false)
      await t.store.release(all.slice(0, 4))
      assert.equal(await t.store.hasOpening(second, [membership()]), true)
      await t.share(second, 'coupon')
      await t.advance(leaseMs + 1)
      assert.equal(await t.store.hasOpening(second, [membership()]), true)
    },
  },
  {
    name: 'hasOpening: that there are queues to hand over is news as well',
    async run(t) {
      await wideGroup(t)
      const [old, young] = [t.owner(), t.owner()]
      await t.share(old, 'coupon')
      assert.equal(await t.store.hasOpening(old, [membership()]), false)
      await t.share(young, 'coupon')
      assert.equal(await t.store.hasOpening(old, [membership()]), true)
    },
  },
  {
    name: 'hasOpening: a newcomer sees the free queues that its first heartbeat would win',
    async run(t) {
      await wideGroup(t)
      const first = t.owner()
      const { leases: all } = await t.share(first, 'coupon')
      await t.store.release(all.slice(0, 4))
      const newcomer = t.owner()
      assert.equal(await t.store.hasOpening(newcomer, [membership()]), true)
      assert.equal((await t.share(newcomer, 'coupon')).leases.length, 4)
    },
  },
  {
    name: 'hasOpening announces nobody: it is a read',
    async run(t) {
      await wideGroup(t)
      const first = t.owner()
      await t.share(first, 'coupon')
      await t.store.hasOpening(t.owner(), [membership()])
      assert.equal((await t.share(first, 'coupon')).surplus, 0)
    },
  },
  {
    name: 'two processes see the same leases',
    async run(t) {
      await wideGroup(t)
      const { store } = await t.another()
      const [here, there] = [t.owner(), t.owner()]
      const { leases: all } = await t.share(here, 'coupon')
      assert.deepEqual((await t.share(there, 'coupon', store)).leases, [])
      await t.store.release(all.slice(0, 4))
      assert.equal((await t.share(there, 'coupon', store)).leases.length, 4)
    },
  },
  {
    name: 'P26: only instances at the newest subscription version take leases',
    async run(t) {
      await wideGroup(t)
      const [old, young] = [t.owner(), t.owner()]
      await t.share(old, 'coupon')
      await t.group('coupon', { topics: [wide], subscriptionVersion: 2 })
      const [told] = await t.store.share(old, [{ ...membership(), version: 1 }], leaseMs)
      assert.equal(told!.leases.length, 8, 'what it holds it may finish')
      assert.equal(told!.surplus, 8, 'and should hand over')
      await t.store.release(told!.leases)
      const [after] = await t.store.share(old, [{ ...membership(), version: 1 }], leaseMs)
      assert.deepEqual(after!.leases, [])
      assert.equal(await t.store.hasOpening(old, [{ ...membership(), version: 1 }]), false)
      const [taken] = await t.store.share(young, [{ ...membership(), version: 2 }], leaseMs)
      assert.equal(taken!.leases.length, 8, 'the older instance has no share')
    },
  },
]

function membership(): ReaderMembership {
  return { reader: 'coupon', version: 1, queues: queuesOf([wide]), runningMax: 100 }
}

async function wideGroup(t: StoreBench): Promise<void> {
  await t.topic(wide)
  await t.group('coupon', { topics: [wide] })
}

/** Heartbeats until nothing moves any more: each hands over what it has too much of, and takes what is free. */
async function settleShares(t: StoreBench, owners: readonly OwnerId[]): Promise<Share[]> {
  for (let round = 0; round < owners.length + 1; round++) {
    for (const owner of owners) {
      const { leases: held, surplus } = await t.share(owner, 'coupon')
      if (surplus > 0) await t.store.release(held.slice(0, surplus))
    }
  }
  const shares: Share[] = []
  for (const owner of owners) shares.push(await t.share(owner, 'coupon'))
  return shares
}

async function retire(t: StoreBench, owners: readonly OwnerId[], shares: readonly Share[]): Promise<void> {
  for (const share of shares) await t.store.release(share.leases)
  for (const owner of owners) await t.store.leave(owner)
}
