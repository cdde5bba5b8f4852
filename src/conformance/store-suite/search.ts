import assert from 'node:assert/strict'
import type { MessageId } from '../../core/ids.ts'
import type { SearchQuery } from '../../core/store.ts'
import { type StoreBench, type StorePromise, idsOf, needsTimeTravel, paid } from '../store-bench.ts'

/** P31: whatever was published can be found, with what became of it in every group. */
export const search: readonly StorePromise[] = [
  {
    name: 'a message is found by its id, with all that is known of it',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({ key: 'order-42', tag: 'vip', shardingKey: 'u1' })
      const [read] = await t.read(lease)
      const waiting = {
        group: 'coupon',
        state: 'waiting',
        attempts: 0,
        dueAt: null,
        cause: null,
        because: null,
        at: null,
      }
      const known = {
        id,
        topic: 'order.paid',
        tag: 'vip',
        key: 'order-42',
        shardingKey: 'u1',
        service: 'order',
        publishedAt: read!.publishedAt,
        queue: 0,
        position: read!.position,
        source: null,
      }
      assert.deepEqual(await t.store.search({ id: id! }), [{ ...known, groups: [waiting] }])
      assert.deepEqual(await t.store.search({ id: t.subject.ports.ids.message() }), [])
    },
  },
  {
    name: 'messages are found by key and topic, newest first',
    missing: needsTimeTravel,
    async run(t) {
      await t.topic({ name: 'order.shipped', queues: 1 })
      const ids: string[] = []
      for (const topic of ['order.paid', 'order.shipped', 'order.paid']) {
        ids.push(...(await t.publish({ topic, key: 'order-42' }, { topic, key: 'order-43' })))
        await t.advance(1_000)
      }
      assert.deepEqual(await find(t, { key: 'order-42' }), [ids[4], ids[2], ids[0]])
      assert.deepEqual(await find(t, { topic: 'order.shipped' }), [ids[3], ids[2]])
      assert.deepEqual(await find(t, { key: 'order-43', topic: 'order.paid' }), [ids[5], ids[1]])
      assert.deepEqual(await find(t, { key: 'order-44' }), [])
      assert.deepEqual(await find(t, {}), ids.toReversed())
    },
  },
  {
    name: 'messages are found by when they were published: since is included, until is not',
    missing: needsTimeTravel,
    async run(t) {
      const times: number[] = []
      const ids: string[] = []
      for (let i = 0; i < 3; i++) {
        times.push(t.now)
        ids.push(...(await t.publish({})))
        await t.advance(1_000)
      }
      assert.deepEqual(await find(t, { since: new Date(times[1]!) }), [ids[2], ids[1]])
      assert.deepEqual(await find(t, { until: new Date(times[1]!) }), [ids[0]])
      assert.deepEqual(await find(t, { since: new Date(times[1]!), until: new Date(times[2]!) }), [ids[1]])
    },
  },
  {
    name: 'messages are found by when they were published, the newest first, whatever time their ids tell',
    async run(t) {
      const dayMs = 86_400_000
      const { now } = t
      const at = (days: number): Date => new Date(now + days * dayMs)
      const first = '00000000-0000-7000-8000-000000000000' as MessageId
      const last = 'ffffffff-ffff-7fff-bfff-ffffffffffff' as MessageId
      const soon = (now + dayMs / 72).toString(16).padStart(12, '0')
      // As of a publisher whose clock was set back by half an hour.
      const ahead = `${soon.slice(0, 8)}-${soon.slice(8)}-7000-8000-000000000000` as MessageId
      const ids = await t.publish(
        { publishedAt: at(-3).getTime(), id: last },
        { publishedAt: at(-2).getTime() },
        { publishedAt: at(-1 / 144).getTime(), id: ahead },
        { publishedAt: now },
        { publishedAt: at(1).getTime(), id: first },
        { publishedAt: at(2).getTime() },
      )
      assert.deepEqual(await find(t, {}), ids.toReversed())
      for (let limit = 1; limit < ids.length; limit++)
        assert.deepEqual(await find(t, { limit }), ids.toReversed().slice(0, limit))
      assert.deepEqual(await find(t, { since: at(-2), until: at(1) }), [ids[3], ids[2], ids[1]])
      assert.deepEqual(await find(t, { since: at(-2), until: at(1), limit: 1 }), [ids[3]])
      assert.deepEqual(await find(t, { since: at(1) }), [ids[5], ids[4]])
      assert.deepEqual(await find(t, { until: at(-2) }), [ids[0]])
      assert.deepEqual(await find(t, { topic: 'order.paid', since: at(-3), until: at(-2) }), [ids[0]])
    },
  },
  {
    name: 'a search answers a hundred unless more are asked for, the newest',
    async run(t) {
      const ids = await t.publishMany(120)
      assert.equal((await t.store.search({})).length, 100)
      assert.deepEqual(await find(t, { limit: 3 }), ids.slice(-3).toReversed())
      assert.equal((await t.store.search({ limit: 1_000_000 })).length, 120)
    },
  },
  {
    name: 'messages are found by every state, in any group and in one',
    async run(t) {
      const { ids } = await oneOfEach(t)
      await t.groupWithLease('logistics', { from: 'oldest' })
      for (const [state, id] of Object.entries(ids)) {
        assert.deepEqual(await find(t, { state: state as keyof typeof ids, group: 'coupon' }), [id], state)
        if (state !== 'waiting')
          assert.deepEqual(await find(t, { state: state as keyof typeof ids }), [id], state)
        assert.deepEqual(await find(t, { state: state as keyof typeof ids, id: id! }), [id], state)
        assert.deepEqual(await find(t, { state: state as keyof typeof ids, group: 'ledger' }), [], state)
      }
      assert.equal((await find(t, { state: 'waiting' })).length, Object.keys(ids).length)
    },
  },
  {
    name: 'state goes together with key, topic, time and limit',
    async run(t) {
      const { ids } = await oneOfEach(t)
      assert.deepEqual(await find(t, { state: 'dead', key: 'dead' }), [ids.dead])
      assert.deepEqual(await find(t, { state: 'dead', key: 'done' }), [])
      assert.deepEqual(await find(t, { state: 'done', topic: paid.name }), [ids.done])
      assert.deepEqual(await find(t, { state: 'done', topic: 'order.shipped' }), [])
      assert.deepEqual(await find(t, { state: 'held', since: new Date(t.now), until: new Date(t.now + 1) }), [
        ids.held,
      ])
      assert.deepEqual(await find(t, { state: 'held', until: new Date(t.now) }), [])
      assert.deepEqual(await find(t, { state: 'waiting', key: 'waiting', group: 'coupon' }), [ids.waiting])
      assert.deepEqual(await find(t, { state: 'filtered', limit: 1 }), [ids.filtered])
    },
  },
  {
    name: 'a message is shown with its state, attempts, cause and reason in every group',
    async run(t) {
      const coupon = await t.groupWithLease('coupon')
      const logistics = await t.groupWithLease('logistics')
      await t.group('recommendation')
      const [id] = await t.publish({})
      await t.run(coupon, await t.read(coupon))
      await t.settle(logistics, (await t.read(logistics))[0]!, {
        state: 'retrying',
        attempts: 2,
        dueAt: t.now + 5,
        cause: 'handler.failed',
        because: 'no answer',
      })
      const [found] = await t.store.search({ id: id! })
      const none = { cause: null, because: null }
      assert.deepEqual(found?.groups, [
        { group: 'coupon', state: 'done', attempts: 0, dueAt: null, ...none, at: t.now },
        {
          group: 'logistics',
          state: 'retrying',
          attempts: 2,
          dueAt: t.now + 5,
          cause: 'handler.failed',
          because: 'no answer',
          at: t.now,
        },
        { group: 'recommendation', state: 'waiting', attempts: 0, dueAt: null, ...none, at: null },
      ])
    },
  },
  {
    name: 'messages are found by group: those of the topics that it reads',
    async run(t) {
      await t.topic({ name: 'order.shipped', queues: 1 })
      await t.group('coupon')
      const [id] = await t.publish({}, { topic: 'order.shipped' })
      assert.deepEqual(await find(t, { group: 'coupon' }), [id])
      assert.deepEqual(await find(t, { group: 'ledger' }), [])
    },
  },
  {
    name: 'what a relay has not carried yet is in transit; what landed here is not its business',
    async run(t) {
      await t.store.declareReader('@relay', [paid], 'oldest')
      const [first, second] = await t.publish({}, {})
      await t.store.land(t.landing([{}]))
      const lease = await t.lease('@relay')
      await t.store.advance(lease, (await t.read(lease))[0]!.position)
      assert.deepEqual(await find(t, { state: 'in-transit' }), [second])
      const states = async (id: typeof first) =>
        (await t.store.search({ id: id! }))[0]?.groups.map(({ group, state }) => [group, state])
      assert.deepEqual(await states(first), [['@relay', 'done']])
      assert.deepEqual(await states(second), [['@relay', 'in-transit']])
    },
  },
  {
    name: 'what landed is found with where it came from',
    async run(t) {
      await t.store.declareReader('@land:coupon', [paid], 'oldest')
      const batch = t.landing([{ key: 'order-42' }])
      await t.store.land(batch)
      const [found] = await t.store.search({ key: 'order-42' })
      assert.deepEqual(found?.source, batch.messages[0]!.from)
      assert.deepEqual(found?.groups, [])
    },
  },
  {
    name: 'a collision is found under the id that it shares',
    async run(t) {
      const draft = t.draft({ key: 'order-42' })
      await t.append(draft)
      await t.store.land(t.landing([t.draft({ id: draft.id, body: '{"forged":true}' })]))
      const [found] = await t.store.search({ key: 'order-42' })
      assert.deepEqual(
        found?.groups.map(({ group, state, cause }) => ({ group, state, cause })),
        [{ group: '@land', state: 'dead', cause: 'receipt.id-collision' }],
      )
      assert.deepEqual(await find(t, { state: 'dead' }), [draft.id])
    },
  },
  {
    name: 'a dead message is found by key, id and state after its log row is purged',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({ key: 'order-42' }, { key: 'order-42' })
      const [message, other] = await t.read(lease)
      await t.bury(lease, message!)
      await t.run(lease, [other!])
      await t.store.advance(lease, other!.position)
      await t.advance(60_000)
      assert.equal(await t.store.purge(t.now), 2)
      for (const query of [
        { id: id! },
        { key: 'order-42' },
        { state: 'dead' },
        { topic: paid.name },
        { group: 'coupon' },
      ] as const) {
        const found = await t.store.search(query)
        assert.deepEqual(
          found.map(({ id: found_, position }) => [found_, position]),
          [[id, message!.position]],
          JSON.stringify(query),
        )
        assert.equal(found[0]!.groups[0]?.state, 'dead')
      }
    },
  },
  {
    name: 'a message from before the group’s start does not wait in it',
    async run(t) {
      const [id] = await t.publish({})
      await t.group('coupon', { from: 'now' })
      assert.deepEqual((await t.store.search({ id: id! }))[0]?.groups, [])
      assert.deepEqual(await find(t, { state: 'waiting' }), [])
    },
  },
]

async function find(t: StoreBench, query: SearchQuery) {
  return idsOf(await t.store.search(query))
}

/** One message in each state that a group can give it, its key named after the state. */
async function oneOfEach(t: StoreBench) {
  const lease = await t.groupWithLease('coupon', { ordered: true })
  const states = ['done', 'retrying', 'held', 'dead', 'discarded', 'filtered', 'running', 'waiting'] as const
  const published = await t.publish(
    ...states.map((key) => ({ key, shardingKey: ['retrying', 'held'].includes(key) ? 'u1' : null })),
  )
  const [done, retrying, held, dead, discarded, filtered, running] = await t.read(lease)
  await t.run(lease, [done!])
  await t.settle(lease, retrying!, { state: 'retrying', dueAt: t.now })
  await t.settle(lease, held!, { state: 'held' })
  await t.bury(lease, dead!)
  await t.settle(lease, discarded!, { state: 'discarded' })
  await t.settle(lease, filtered!, { state: 'filtered' })
  await t.store.markRunning(lease, running!, true)
  return {
    lease,
    ids: Object.fromEntries(states.map((state, i) => [state, published[i]])) as Record<
      (typeof states)[number],
      (typeof published)[number]
    >,
  }
}
