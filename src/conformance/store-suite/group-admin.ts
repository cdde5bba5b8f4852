import assert from 'node:assert/strict'
import { type StorePromise, leaseMs, needsTimeTravel, paid, rejectsWith } from '../store-bench.ts'

const note = { by: 'ann', because: 'the bank is down' }
const later = { by: 'bob', because: 'me too' }
const dayMs = 24 * 3_600_000
const keep = { abandon: false }
const giveUp = { abandon: true }

export const groupAdmin: readonly StorePromise[] = [
  {
    name: 'groups are listed by name, with what they declared and where they began',
    async run(t) {
      const shipped = { name: 'order.shipped', queues: 2 }
      const from = new Date(t.now)
      await t.group('logistics', { from: 'now', ordered: true, onFailure: 'skip', subscriptionVersion: 7 })
      await t.group('coupon', { from, topics: [paid, shipped], tags: { 'order.shipped': 'vip || new' } })
      const common = { createdAt: t.now, paused: null, instances: 0, waiting: 0 }
      const open = { retrying: 0, held: 0, dead: 0 }
      assert.deepEqual(await t.store.groups.list(), [
        {
          name: 'coupon',
          topics: [
            { name: 'order.paid', tags: '*' },
            { name: 'order.shipped', tags: 'vip || new' },
          ],
          ordered: false,
          onFailure: 'hold',
          subscriptionVersion: 1,
          start: from.toISOString(),
          ...common,
          ...open,
        },
        {
          name: 'logistics',
          topics: [{ name: 'order.paid', tags: '*' }],
          ordered: true,
          onFailure: 'skip',
          subscriptionVersion: 7,
          start: 'now',
          ...common,
          ...open,
        },
      ])
      assert.deepEqual(
        await t.store.groups.subscriptions(),
        (await t.store.groups.list()).map(({ name, topics }) => ({ name, topics })),
      )
    },
  },
  {
    name: 'the list counts what waits, is retrying, held and dead, for each group',
    async run(t) {
      const lease = await t.groupWithLease('orders', { ordered: true })
      await t.group('coupon')
      const keys = ['a', 'a', 'a', 'b', 'c', 'd', 'd']
      await t.publish(...keys.map((shardingKey) => ({ shardingKey })))
      const messages = await t.read(lease)
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      for (const follower of messages.slice(1, 3)) await t.settle(lease, follower, { state: 'held' })
      await t.bury(lease, messages[3]!)
      await t.run(lease, [messages[4]!])
      await t.store.advance(lease, messages[4]!.position)
      const counts = (await t.store.groups.list()).map(({ name, waiting, retrying, held, dead }) => ({
        name,
        waiting,
        retrying,
        held,
        dead,
      }))
      assert.deepEqual(counts, [
        { name: 'coupon', waiting: 7, retrying: 0, held: 0, dead: 0 },
        { name: 'orders', waiting: 2, retrying: 1, held: 2, dead: 1 },
      ])
    },
  },
  {
    name: 'the list counts living instances: not those that left, nor those that fell silent',
    missing: needsTimeTravel,
    async run(t) {
      await t.group('coupon')
      const [leaving, silent, living] = [t.owner(), t.owner(), t.owner()]
      const instances = async () => (await t.store.groups.list())[0]!.instances
      for (const owner of [leaving, silent, living]) await t.share(owner, 'coupon')
      assert.equal(await instances(), 3)
      await t.store.leave(leaving)
      assert.equal(await instances(), 2)
      await t.advance(leaseMs - 1)
      await t.share(living, 'coupon')
      await t.advance(1)
      assert.equal(await instances(), 1)
    },
  },
  {
    name: 'P26: a group that consumes elsewhere and is registered here is listed without topics',
    async run(t) {
      await t.store.registerGroups(['coupon'], 'database-elsewhere')
      assert.deepEqual(
        (await t.store.groups.list()).map(({ name, topics, start }) => ({ name, topics, start })),
        [{ name: 'coupon', topics: [], start: '' }],
      )
    },
  },
  {
    name: 'a paused group says to every process who paused it, when and why, until it is resumed',
    async run(t) {
      await t.group('coupon')
      const { store } = await t.another()
      assert.equal(await t.pauseOf('coupon'), null)
      assert.equal(await t.store.groups.pause('coupon', note), true)
      const pause = { at: t.now, ...note }
      assert.deepEqual(await t.pauseOf('coupon'), pause)
      assert.deepEqual((await store.groups.list())[0]!.paused, pause)
      assert.equal(await store.groups.resume('coupon', note), true)
      assert.equal(await t.pauseOf('coupon'), null)
      assert.equal((await t.store.groups.list())[0]!.paused, null)
    },
  },
  {
    name: 'pausing what is paused answers false and leaves the first note; so does resuming what runs',
    async run(t) {
      await t.group('coupon')
      assert.equal(await t.store.groups.resume('coupon', note), false)
      await t.store.groups.pause('coupon', note)
      assert.equal(await t.store.groups.pause('coupon', later), false)
      assert.deepEqual(await t.pauseOf('coupon'), { at: t.now, ...note })
      assert.equal(await t.store.groups.resume('coupon', later), true)
      assert.equal(await t.store.groups.resume('coupon', later), false)
    },
  },
  {
    name: 'a pause takes nothing away: cursor, lease and messages stay, and other groups run',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.group('logistics')
      const ids = await t.publishMany(2)
      await t.store.groups.pause('coupon', note)
      assert.equal(await t.pauseOf('logistics'), null)
      assert.deepEqual(await t.readIds(lease), ids)
      assert.deepEqual(await t.run(lease, await t.read(lease)), ids, 'what had begun is finished')
      await t.store.advance(lease, (await t.read(lease))[1]!.position)
    },
  },
  {
    name: 'a group that does not consume here cannot be paused, resumed or removed: group.unknown',
    async run(t) {
      await rejectsWith('group.unknown', () => t.store.groups.pause('coupon', note))
      await rejectsWith('group.unknown', () => t.store.groups.resume('coupon', note))
      await rejectsWith('group.unknown', () => t.store.groups.remove('coupon', note, giveUp))
      assert.equal(await t.pauseOf('coupon'), null)
      await t.store.registerGroups(['coupon'], 'database-elsewhere')
      await rejectsWith('group.unknown', () => t.store.groups.pause('coupon', note))
      await rejectsWith('group.unknown', () => t.store.groups.resume('coupon', note))
    },
  },
  {
    name: 'P26: a removed group is gone, with its cursors and its pause, and no other is touched',
    async run(t) {
      await t.group('coupon')
      await t.group('logistics')
      await t.store.groups.pause('coupon', note)
      await t.store.groups.remove('coupon', note, keep)
      assert.deepEqual(
        (await t.store.groups.list()).map(({ name }) => name),
        ['logistics'],
      )
      assert.deepEqual(
        (await t.store.lag()).map(({ reader }) => reader),
        ['logistics'],
      )
      assert.equal(await t.pauseOf('coupon'), null)
      await rejectsWith('group.unknown', () => t.store.groups.remove('coupon', note, keep))
    },
  },
  {
    name: 'P26: a group is not removed while an instance of it lives, whatever is abandoned: group.in-use',
    missing: needsTimeTravel,
    async run(t) {
      await t.group('coupon')
      const [leaving, silent] = [t.owner(), t.owner()]
      for (const owner of [leaving, silent]) await t.share(owner, 'coupon')
      const error = await rejectsWith('group.in-use', () => t.store.groups.remove('coupon', note, giveUp))
      assert.equal(error.facts['instances'], 2)
      await t.store.leave(leaving)
      await rejectsWith('group.in-use', () => t.store.groups.remove('coupon', note, keep))
      await t.advance(leaseMs)
      await t.store.groups.remove('coupon', note, keep)
    },
  },
  {
    name: 'P26: a group with open messages is not removed, and nothing of it changes: group.not-empty, with their counts',
    async run(t) {
      const owner = t.owner()
      await t.group('orders', { ordered: true })
      const lease = await t.lease('orders', owner)
      const ids = await t.publish({ shardingKey: 'a' }, { shardingKey: 'a' }, { shardingKey: 'b' }, {})
      const messages = await t.read(lease)
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      await t.settle(lease, messages[1]!, { state: 'held' })
      await t.bury(lease, messages[2]!)
      await t.store.leave(owner)
      const error = await rejectsWith('group.not-empty', () => t.store.groups.remove('orders', note, keep))
      const { waiting, retrying, held, dead } = error.facts
      assert.deepEqual({ waiting, retrying, held, dead }, { waiting: 1, retrying: 1, held: 1, dead: 1 })
      assert.deepEqual(await t.statesOf(lease, ids), ['retrying', 'held', 'dead', null])
      assert.equal((await t.store.groups.list()).length, 1)
    },
  },
  {
    name: 'P26: each kind of open message alone keeps its group from being removed',
    async run(t) {
      for (const state of ['waiting', 'running', 'retrying', 'dead'] as const) {
        const owner = t.owner()
        await t.group(state, { from: 'now' })
        await t.publish({})
        const lease = await t.lease(state, owner)
        const [message] = await t.read(lease)
        if (state === 'running') await t.store.markRunning(lease, message!, true)
        else if (state !== 'waiting')
          await t.settle(lease, message!, { state, ...(state === 'retrying' ? { dueAt: t.now } : {}) })
        if (state !== 'waiting') await t.store.advance(lease, message!.position)
        await t.store.leave(owner)
        const error = await rejectsWith('group.not-empty', () => t.store.groups.remove(state, note, keep))
        assert.equal(error.facts[state], 1)
      }
    },
  },
  {
    name: 'P26: what is settled is not open, though a crash left the cursor before it',
    async run(t) {
      const owner = t.owner()
      await t.group('coupon')
      const lease = await t.lease('coupon', owner)
      await t.publishMany(2)
      const [done, filtered] = await t.read(lease)
      await t.run(lease, [done!])
      await t.settle(lease, filtered!, { state: 'filtered' })
      await t.store.leave(owner)
      await t.store.groups.remove('coupon', note, keep)
    },
  },
  {
    name: 'P26: abandoned messages are discarded with the reason, and are due, dead and copied no more',
    async run(t) {
      const owner = t.owner()
      await t.group('orders', { ordered: true })
      const lease = await t.lease('orders', owner)
      const other = await t.groupWithLease('coupon')
      const ids = await t.publish({ shardingKey: 'a' }, { shardingKey: 'a' }, { shardingKey: 'b' })
      const messages = await t.read(lease)
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      await t.settle(lease, messages[1]!, { state: 'held' })
      await t.bury(lease, messages[2]!)
      await t.bury(other, messages[2]!)
      await t.store.leave(owner)
      await t.store.groups.remove('orders', note, giveUp)
      assert.deepEqual(await t.statesOf(lease, ids), ['discarded', 'discarded', 'discarded'])
      assert.deepEqual(await t.dueIds(lease), [])
      assert.deepEqual(
        (await t.store.deadLetters({})).map(({ group }) => group),
        ['coupon'],
      )
      assert.equal(await t.store.redrive([{ group: 'orders', id: ids[2]! }], note), 0)
      const [found] = await t.store.search({ id: ids[0]! })
      assert.equal(found?.groups.find(({ group }) => group === 'orders')?.because, note.because)
      await t.store.redrive([{ group: 'coupon', id: ids[2]! }], note)
      assert.deepEqual(await t.dueIds(other), [ids[2]], 'the other group has its own copy')
    },
  },
  {
    name: 'P3: a group that is declared again after its removal repeats nothing, and handles what it had not',
    async run(t) {
      const owner = t.owner()
      await t.group('coupon')
      const lease = await t.lease('coupon', owner)
      const ids = await t.publishMany(3)
      const [done, dead] = await t.read(lease)
      await t.run(lease, [done!])
      await t.bury(lease, dead!)
      await t.store.leave(owner)
      await t.store.groups.remove('coupon', note, giveUp)
      await t.group('coupon', { from: 'oldest' })
      const again = await t.lease('coupon')
      const messages = await t.read(again)
      assert.deepEqual(
        messages.map(({ disposition }) => disposition),
        ['done', 'discarded', null],
      )
      assert.deepEqual(await t.run(again, messages), [ids[2]])
      assert.deepEqual(await t.effects(), [`coupon:${ids[0]}`, `coupon:${ids[2]}`])
    },
  },
  {
    name: 'P26: a group that is declared again after its removal is new: it says where it starts, and may be another',
    async run(t) {
      await t.group('coupon')
      await t.publishMany(2)
      await t.store.groups.remove('coupon', note, giveUp)
      await rejectsWith('group.start-position-needed', () => t.group('coupon', { from: undefined }))
      await t.group('coupon', { from: 'now', ordered: true, onFailure: 'skip', subscriptionVersion: 0 })
      assert.deepEqual(await t.read(await t.lease('coupon')), [])
    },
  },
  {
    name: 'P16: an instance that wakes up after its group was removed writes nothing, though there is one of that name again',
    missing: needsTimeTravel,
    async run(t) {
      const sleeper = t.owner()
      await t.group('coupon')
      const stale = await t.lease('coupon', sleeper)
      const ids = await t.publishMany(2)
      const messages = await t.read(stale)
      await t.advance(leaseMs)
      await t.store.groups.remove('coupon', note, giveUp)
      await rejectsWith('store.lease-lost', () => t.run(stale, messages))
      await rejectsWith('store.lease-lost', () => t.store.advance(stale, messages[1]!.position))
      await rejectsWith('store.lease-lost', () => t.bury(stale, messages[0]!))
      await t.group('coupon', { from: 'oldest' })
      const current = await t.lease('coupon', sleeper)
      assert.ok(current.fence > stale.fence)
      await rejectsWith('store.lease-lost', () => t.store.advance(stale, messages[1]!.position))
      assert.deepEqual(await t.readIds(current), ids)
    },
  },
  {
    name: 'P26: a removed group holds up no purge any more, and its receipts go as those of others do',
    missing: needsTimeTravel,
    async run(t) {
      const owner = t.owner()
      const quick = await t.groupWithLease('logistics')
      await t.group('coupon')
      const lease = await t.lease('coupon', owner)
      const ids = await t.publishMany(2)
      const messages = await t.read(lease)
      await t.run(lease, [messages[0]!])
      await t.store.advance(quick, messages[1]!.position)
      await t.store.leave(owner)
      await t.advance(1)
      assert.equal(await t.store.purge(t.now), 0)
      await t.store.groups.remove('coupon', note, giveUp)
      assert.deepEqual(await t.statesOf(lease, ids), ['done', null])
      assert.equal(await t.store.purge(t.now), 2)
      await t.store.purge(t.now)
      assert.deepEqual(await t.statesOf(lease, ids), ['done', null], 'it is not older than the retention')
      await t.advance(dayMs)
      await t.store.purge(t.now)
      assert.deepEqual(await t.statesOf(lease, ids), [null, null])
    },
  },
  {
    name: 'P26: where a group is only registered, its removal lets another database have it',
    async run(t) {
      await t.store.registerGroups(['coupon'], 'database-a')
      await rejectsWith('group.other-database', () => t.store.registerGroups(['coupon'], 'database-b'))
      await t.store.groups.remove('coupon', note, keep)
      await t.store.registerGroups(['coupon'], 'database-b')
    },
  },
]
