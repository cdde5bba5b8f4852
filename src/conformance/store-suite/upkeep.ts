import assert from 'node:assert/strict'
import { dueReader } from '../../core/delayed.ts'
import {
  type StoreBench,
  type StoreClaims,
  type StorePromise,
  idsOf,
  needsTimeTravel,
  paid,
} from '../store-bench.ts'

const dayMs = 24 * 3_600_000

export const upkeep: readonly StorePromise[] = [
  {
    name: 'purge drops what is older and what every reader has passed, and nothing else',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(3)
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[1]!.position)
      await t.advance(dayMs)
      const [young] = await t.publish({})
      assert.equal(await t.store.purge(messages[0]!.publishedAt), 0, 'nothing is older than itself')
      assert.equal(await t.store.purge(t.now), 2)
      assert.deepEqual(await t.readIds(lease, 0), [messages[2]!.id, young])
      assert.equal(await t.store.purge(t.now), 0)
    },
  },
  {
    name: 'purge keeps what the slowest reader still needs, group or relay',
    missing: needsTimeTravel,
    async run(t) {
      const quick = await t.groupWithLease('coupon')
      await t.group('logistics')
      await t.store.declareReader('@relay', [paid], 'oldest')
      const ids = await t.publishMany(3)
      const messages = await t.read(quick)
      await t.store.advance(quick, messages[2]!.position)
      await t.advance(dayMs)
      assert.equal(await t.store.purge(t.now), 0)
      const logistics = await t.lease('logistics')
      await t.store.advance(logistics, messages[1]!.position)
      assert.equal(await t.store.purge(t.now), 0)
      await t.store.advance(await t.lease('@relay'), messages[0]!.position)
      assert.equal(await t.store.purge(t.now), 1)
      assert.deepEqual(await t.readIds(logistics, 0), ids.slice(1))
    },
  },
  {
    name: 'purge keeps a topic that nobody reads: whoever comes may want it',
    missing: needsTimeTravel,
    async run(t) {
      const ids = await t.publishMany(2)
      // It moves what is due into the log and reads nothing there.
      await t.store.declareReader(dueReader, [paid], 'oldest')
      await t.advance(dayMs)
      assert.equal(await t.store.purge(t.now), 0)
      await t.group('coupon')
      assert.deepEqual(await t.readIds(await t.lease('coupon')), ids)
    },
  },
  {
    name: 'P11: positions are not used again after a purge, so nothing new hides behind a cursor',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(3)
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[2]!.position)
      await t.advance(dayMs)
      assert.equal(await t.store.purge(t.now), 3)
      const [id] = await t.publish({})
      const [read] = await t.read(lease, messages[2]!.position)
      assert.equal(read!.id, id)
      assert.ok(read!.position > messages[2]!.position)
    },
  },
  {
    name: 'purge keeps retrying, held and dead messages able to run',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('orders', { ordered: true })
      await t.publish({ shardingKey: 'u1' }, { shardingKey: 'u1' }, { shardingKey: 'u2' })
      const [retrying, held, dead] = await t.read(lease)
      await t.settle(lease, retrying!, { state: 'retrying', dueAt: t.now + 1 })
      await t.settle(lease, held!, { state: 'held' })
      await t.bury(lease, dead!)
      await t.store.advance(lease, dead!.position)
      await t.advance(dayMs)
      assert.equal(await t.store.purge(t.now), 3)
      await t.runRetried(lease, (await t.store.due(lease, t.now, 10))[0]!)
      await t.store.redrive([{ group: 'orders', id: dead!.id }], { by: 'ops', because: 'fixed' })
      for (const message of await t.store.due(lease, t.now, 10)) await t.runRetried(lease, message)
      assert.deepEqual(
        (await t.effects()).toSorted(),
        [retrying, held, dead].map((message) => `orders:${message!.id}`).toSorted(),
      )
    },
  },
  {
    name: 'P6: a receipt stays while its message could still be delivered again',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const messages = await t.read(lease)
      await t.run(lease, messages)
      await t.advance(dayMs)
      assert.equal(await t.store.purge(t.now), 0, 'the cursor has not passed it')
      assert.deepEqual(await t.statesOf(lease, [id!]), ['done'])
      assert.deepEqual(await t.run(lease, messages), [])
    },
  },
  {
    name: 'P6: a receipt that is younger than the purge stays, though its message goes',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const messages = await t.read(lease)
      await t.advance(dayMs)
      await t.run(lease, messages)
      await t.store.advance(lease, messages[0]!.position)
      assert.equal(await t.store.purge(t.now), 1)
      assert.deepEqual(await t.statesOf(lease, [id!]), ['done'])
      await t.advance(dayMs)
      await t.store.purge(t.now)
      assert.deepEqual(await t.statesOf(lease, [id!]), ['done'], 'clocks may differ by a day')
      await t.advance(1)
      await t.store.purge(t.now)
      assert.deepEqual(await t.statesOf(lease, [id!]), [null])
    },
  },
  {
    name: 'P6: a message takes its receipt with it where both are old enough, and leaves one that is younger',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids = await t.publishMany(2)
      const [early, late] = await t.read(lease)
      await t.run(lease, [early!])
      await t.advance(dayMs)
      const aDayLater = t.now
      await t.run(lease, [late!])
      await t.store.advance(lease, late!.position)
      assert.equal(await t.store.purge(aDayLater, aDayLater), 2)
      assert.equal(await t.store.purge(aDayLater, aDayLater), 0)
      assert.deepEqual(await t.statesOf(lease, ids), [null, 'done'])
      await t.advance(1)
      assert.equal(await t.store.purge(t.now, t.now), 0)
      assert.deepEqual(await t.statesOf(lease, ids), [null, null])
    },
  },
  {
    name: 'P6: a message that is dropped before others that were handled with it keeps its receipt',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [early] = await t.publish({})
      await t.advance(dayMs)
      await t.publish({})
      const messages = await t.read(lease)
      await t.run(lease, messages)
      await t.store.advance(lease, messages[1]!.position)
      assert.equal(await t.store.purge(t.now, t.now), 1)
      assert.deepEqual(await t.statesOf(lease, [early!]), ['done'])
    },
  },
  {
    name: 'purge takes whatever there is, in portions, until it answers 0',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      for (let batch = 0; batch < 5; batch++) await t.publishMany(1_000)
      const last = (await t.store.lag())[0]!.end
      await t.store.advance(lease, last)
      await t.advance(dayMs)
      let dropped = 0
      for (let portion = -1; portion !== 0; dropped += portion) portion = await t.store.purge(t.now)
      assert.equal(dropped, 5_000)
    },
  },
  {
    name: 'purge leaves dedup keys that are still in force',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [first] = await t.append({ dedupKey: 'pay-42' })
      await t.store.advance(lease, (await t.read(lease))[0]!.position)
      await t.advance(1_000)
      await t.store.purge(t.now)
      assert.deepEqual(await t.append({ dedupKey: 'pay-42' }), [{ id: first!.id, duplicate: true }])
    },
  },
  {
    name: 'purge does not move the landed position',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.store.land(t.landing([{}, {}]))
      await t.store.advance(lease, (await t.read(lease))[1]!.position)
      await t.advance(dayMs)
      assert.equal(await t.store.purge(t.now), 2)
      assert.equal((await t.store.landedUpTo('database:elsewhere', 'order.paid', 0))?.position, 2)
    },
  },
  {
    name: 'watch hears a commit of another process',
    missing: needsWakeUps,
    async run(t) {
      const other = await t.another()
      const heard = changeOf(t)
      await other.transaction({ work: (tx) => other.store.append(tx, [t.draft()], [paid]) })
      await heard.once
      heard.stop()
    },
  },
  {
    name: 'watch hears commits again and again, also after a purge of everything',
    missing: needsWakeUps,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const other = await t.another()
      for (let round = 0; round < 3; round++) {
        const heard = changeOf(t)
        await other.transaction({ work: (tx) => other.store.append(tx, [t.draft()], [paid]) })
        await heard.once
        heard.stop()
        const read = await t.read(lease)
        await t.store.advance(lease, read.at(-1)!.position)
        await t.store.purge(t.now + 1)
      }
    },
  },
  {
    name: 'a watch that was stopped may be stopped again, and closing stops the rest',
    async run(t) {
      const other = await t.another()
      const stop = other.store.watch(() => {})
      other.store.watch(() => {})
      stop()
      stop()
    },
  },
  {
    name: 'a database that is closed and opened again has everything',
    async run(t) {
      const first = await t.another()
      const drafts = [t.draft(), t.draft({ body: new Uint8Array([1]) })]
      await first.transaction({ work: (tx) => first.store.append(tx, drafts, [paid]) })
      await first.close()
      const lease = await t.groupWithLease('coupon')
      const second = await t.another()
      assert.deepEqual(idsOf(await second.store.read(lease, 0, 10)), idsOf(drafts))
    },
  },
]

function needsWakeUps(claims: StoreClaims): string | undefined {
  return claims.can.wakeUps === 'poll' ? 'this store only polls' : undefined
}

function changeOf(t: StoreBench): { once: Promise<void>; stop: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = t.store.watch(() => resolve())
  return { once: promise, stop }
}
