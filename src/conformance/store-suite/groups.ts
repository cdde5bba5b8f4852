import assert from 'node:assert/strict'
import type { GroupDeclaration } from '../../core/store.ts'
import { type StorePromise, needsTimeTravel, paid, rejectsWith } from '../store-bench.ts'

const shipped = { name: 'order.shipped', queues: 2 }

/** P19 and P26: topics and groups are declared rows. */
export const groups: readonly StorePromise[] = [
  {
    name: 'topics are declared once, and again without harm',
    async run(t) {
      await t.store.declareTopics([shipped, paid])
      await t.store.declareTopics([paid])
      assert.deepEqual(
        (await t.store.topics()).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
        [paid, shipped],
      )
    },
  },
  {
    name: 'P19: a topic keeps its number of queues; another is refused, and nothing of that declaration is kept',
    async run(t) {
      await t.store.declareTopics([paid])
      await rejectsWith('topic.queues-differ', () => t.store.declareTopics([shipped, { ...paid, queues: 4 }]))
      assert.deepEqual(await t.store.topics(), [paid])
    },
  },
  {
    name: 'P19: another process is refused likewise',
    async run(t) {
      await t.store.declareTopics([paid])
      const { store } = await t.another()
      await rejectsWith('topic.queues-differ', () => store.declareTopics([{ ...paid, queues: 4 }]))
      assert.deepEqual(await store.topics(), [paid])
    },
  },
  {
    name: 'P19: a group or reader that counts a topic’s queues otherwise is refused: it would miss some',
    async run(t) {
      await t.store.declareTopics([shipped])
      const wrong = { ...shipped, queues: 1 }
      await rejectsWith('topic.queues-differ', () => t.store.declareGroup(declaration({ topics: [wrong] })))
      await rejectsWith('topic.queues-differ', () => t.store.declareReader('@relay', [wrong], 'oldest'))
      assert.deepEqual(await t.store.lag(), [])
    },
  },
  {
    name: 'P26: a group gets a cursor per queue, once',
    async run(t) {
      await t.store.declareGroup(declaration({ topics: [paid, shipped] }))
      await t.store.declareGroup(declaration({ topics: [paid, shipped] }))
      assert.deepEqual(
        (await t.store.lag())
          .map(({ reader, topic, queue, position }) => [reader, topic, queue, position])
          .toSorted(),
        [
          ['coupon', 'order.paid', 0, 0],
          ['coupon', 'order.shipped', 0, 0],
          ['coupon', 'order.shipped', 1, 0],
        ],
      )
    },
  },
  {
    name: 'P26: from oldest a new group gets everything that is there',
    async run(t) {
      const ids = await t.publishMany(3)
      await t.group('coupon', { from: 'oldest' })
      assert.deepEqual(await t.readIds(await t.lease('coupon')), ids)
    },
  },
  {
    name: 'P26: from now a new group gets what comes after its creation',
    async run(t) {
      await t.publishMany(3)
      await t.group('coupon', { from: 'now' })
      const lease = await t.lease('coupon')
      assert.deepEqual(await t.read(lease), [])
      const ids = await t.publishMany(2)
      assert.deepEqual(await t.readIds(lease), ids)
    },
  },
  {
    name: 'P26: from a date a new group gets what was eligible then or later',
    missing: needsTimeTravel,
    async run(t) {
      await t.publishMany(2)
      await t.advance(60_000)
      const from = new Date(t.now)
      const [at] = await t.publish({})
      await t.advance(60_000)
      const [after] = await t.publish({})
      await t.group('coupon', { from })
      assert.deepEqual(await t.readIds(await t.lease('coupon')), [at, after])
    },
  },
  {
    name: 'P26: from a date nothing eligible since then is skipped, though publishers’ clocks differ',
    async run(t) {
      await t.publish({ eligibleAt: t.now - 60_000 })
      const [wanted] = await t.publish({ eligibleAt: t.now })
      const [slow] = await t.publish({ eligibleAt: t.now - 5_000 })
      await t.group('coupon', { from: new Date(t.now - 1) })
      assert.deepEqual(await t.readIds(await t.lease('coupon')), [wanted, slow])
    },
  },
  {
    name: 'P26: from a date that lies ahead of everything a new group starts at the end',
    async run(t) {
      await t.publishMany(2)
      await t.group('coupon', { from: new Date(t.now + 3_600_000) })
      const lease = await t.lease('coupon')
      assert.deepEqual(await t.read(lease), [])
      const ids = await t.publish({})
      assert.deepEqual(await t.readIds(lease), ids)
    },
  },
  {
    name: 'P26: from counts at creation only',
    async run(t) {
      const lease = await t.groupWithLease('coupon', { from: 'oldest' })
      const ids = await t.publishMany(3)
      await t.group('coupon', { from: 'now' })
      assert.deepEqual(await t.readIds(lease), ids)
      assert.equal(await t.cursor('coupon'), 0)
    },
  },
  {
    name: 'P26: a new group that does not say where it starts is refused if older messages exist, with their count',
    async run(t) {
      await t.publishMany(3)
      const error = await rejectsWith('group.start-position-needed', () =>
        t.store.declareGroup(declaration({ from: undefined })),
      )
      assert.equal(error.facts['older'], 3)
      assert.deepEqual(await t.store.lag(), [])
      await t.group('coupon', { from: 'oldest' })
    },
  },
  {
    name: 'P26: a group needs no start where there is nothing older, nor once it exists',
    async run(t) {
      await t.store.declareGroup(declaration({ from: undefined }))
      await t.publishMany(3)
      await t.store.declareGroup(declaration({ from: undefined }))
      assert.equal((await t.readIds(await t.lease('coupon'))).length, 3)
    },
  },
  {
    name: 'P26: a topic that a group takes up later needs a start of its own',
    async run(t) {
      await t.topic(shipped)
      await t.group('coupon', { from: undefined })
      await t.publish({ topic: shipped.name }, { topic: shipped.name })
      const grown = declaration({ topics: [paid, shipped], subscriptionVersion: 2 })
      const error = await rejectsWith('group.start-position-needed', () =>
        t.store.declareGroup({ ...grown, from: undefined }),
      )
      assert.equal(error.facts['older'], 2)
      await t.store.declareGroup({ ...grown, from: 'now' })
      assert.deepEqual(
        (await t.store.lag()).filter(({ topic }) => topic === shipped.name).map(({ waiting }) => waiting),
        [0, 0],
      )
    },
  },
  {
    name: 'countOlder tells what a new reader would get, and 0 for what it reads already',
    async run(t) {
      await t.topic(shipped)
      await t.publish({}, {}, { topic: shipped.name })
      assert.equal(await t.store.countOlder('coupon', ['order.paid', 'order.shipped', 'order.unknown']), 3)
      await t.group('coupon')
      assert.equal(await t.store.countOlder('coupon', ['order.paid']), 0)
      assert.equal(await t.store.countOlder('coupon', ['order.paid', 'order.shipped']), 1)
    },
  },
  {
    name: 'P26: other topics, tags or order under the same subscription version are refused',
    async run(t) {
      await t.topic(shipped)
      await t.group('coupon')
      const others: Partial<GroupDeclaration>[] = [
        { topics: [paid, shipped] },
        { topics: [shipped] },
        { tags: { 'order.paid': 'vip' } },
        { ordered: true },
        { onFailure: 'skip' },
      ]
      for (const other of others)
        await rejectsWith('group.subscription-differs', () => t.store.declareGroup(declaration(other)))
      await t.store.declareGroup(declaration({}))
    },
  },
  {
    name: 'P26: the order in which topics are named makes no difference',
    async run(t) {
      await t.group('coupon', { topics: [paid, shipped] })
      await t.group('coupon', { topics: [shipped, paid] })
    },
  },
  {
    name: 'P26: a raised subscription version replaces the subscription, and the older one may still start',
    async run(t) {
      await t.topic(shipped)
      await t.group('coupon')
      await t.group('coupon', { topics: [paid, shipped], subscriptionVersion: 2 })
      await t.store.declareGroup(declaration({}))
      await rejectsWith('group.subscription-differs', () =>
        t.store.declareGroup(declaration({ subscriptionVersion: 2 })),
      )
      await t.store.declareGroup(declaration({ topics: [paid, shipped], subscriptionVersion: 2 }))
    },
  },
  {
    name: 'P26: a raised version takes on another order for what comes next',
    async run(t) {
      await t.group('orders')
      await t.group('orders', { ordered: true, subscriptionVersion: 2 })
      await t.publish({ shardingKey: 'u1' }, { shardingKey: 'u1' })
      const lease = await t.lease('orders')
      await t.settle(lease, (await t.read(lease))[0]!, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(
        (await t.read(lease)).map(({ blocked }) => blocked),
        [false, true],
      )
    },
  },
  {
    name: 'P26: a group that consumes on one database is refused on another',
    async run(t) {
      await t.store.registerGroups(['coupon', 'logistics'], 'database-a')
      await t.store.registerGroups(['coupon'], 'database-a')
      await rejectsWith('group.other-database', () =>
        t.store.registerGroups(['ledger', 'coupon'], 'database-b'),
      )
      await t.store.registerGroups(['ledger'], 'database-b')
    },
  },
  {
    name: 'P26: a group that is registered for another database is refused here',
    async run(t) {
      await t.store.registerGroups(['coupon'], 'database-elsewhere')
      await rejectsWith('group.other-database', () => t.store.declareGroup(declaration({})))
      assert.deepEqual(await t.store.lag(), [])
    },
  },
  {
    name: 'P26: a group that consumes here is refused elsewhere, and may be registered as what it is',
    async run(t) {
      await t.group('coupon')
      await rejectsWith('group.other-database', () =>
        t.store.registerGroups(['coupon'], 'database-elsewhere'),
      )
      await t.store.registerGroups(['coupon'], await t.store.epoch())
      await t.group('coupon')
    },
  },
  {
    name: 'P26: a registered group has no subscription yet, whatever its version',
    async run(t) {
      await t.store.registerGroups(['coupon'], await t.store.epoch())
      await t.store.declareGroup(declaration({ subscriptionVersion: 0 }))
      await rejectsWith('group.subscription-differs', () =>
        t.store.declareGroup(declaration({ subscriptionVersion: 0, ordered: true })),
      )
    },
  },
  {
    name: 'a reader without a group gets its cursors once, from where it says',
    async run(t) {
      await t.publishMany(2)
      await t.store.declareReader('@relay', [paid], 'now')
      await t.store.declareReader('@relay', [paid, shipped], 'oldest')
      const lag = await t.store.lag()
      assert.deepEqual(lag.map(({ topic, waiting }) => [topic, waiting]).toSorted(), [
        ['order.paid', 0],
        ['order.shipped', 0],
        ['order.shipped', 0],
      ])
    },
  },
  {
    name: 'a store has an identity, the same for every process',
    async run(t) {
      const epoch = await t.store.epoch()
      assert.ok(epoch.length >= 16)
      assert.equal(await (await t.another()).store.epoch(), epoch)
    },
  },
]

function declaration(given: Partial<GroupDeclaration>): GroupDeclaration {
  return {
    name: 'coupon',
    topics: [paid],
    tags: {},
    from: 'oldest',
    subscriptionVersion: 1,
    ordered: false,
    onFailure: 'hold',
    ...given,
  }
}
