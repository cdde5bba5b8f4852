import assert from 'node:assert/strict'
import type { Lease, ReadMessage } from '../../core/store.ts'
import { type GroupOptions, type StoreBench, type StorePromise, idsOf } from '../store-bench.ts'

/** P21: of one key, first delivery, retry, release and redrive keep their order. */
export const order: readonly StorePromise[] = [
  {
    name: 'P21: later messages of a key are blocked while an earlier one is retrying, running, held or dead',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u1'])
      assert.deepEqual(await blocked(t, lease), [false, false, false])
      await t.store.markRunning(lease, messages[0]!, true)
      assert.deepEqual(await blocked(t, lease), [false, true, true])
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(await blocked(t, lease), [false, true, true])
      await t.settle(lease, messages[1]!, { state: 'held' })
      assert.deepEqual(await blocked(t, lease), [false, true, true])
      await t.bury(lease, messages[0]!)
      assert.deepEqual(await blocked(t, lease), [false, true, true])
    },
  },
  {
    name: 'P21: other keys, and messages without a key, are not blocked',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u2', null, 'u1'])
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(await blocked(t, lease), [false, false, false, true])
    },
  },
  {
    name: 'P21: another group’s failure blocks nothing',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      await t.group('audit', { ordered: true })
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(await blocked(t, await t.lease('audit')), [false, false])
    },
  },
  {
    name: 'P21: the same key in another topic, which is another queue, blocks nothing',
    async run(t) {
      await t.topic({ name: 'order.shipped', queues: 1 })
      await t.group('ledger', {
        topics: [
          { name: 'order.paid', queues: 1 },
          { name: 'order.shipped', queues: 1 },
        ],
        ordered: true,
      })
      await t.publish(
        { shardingKey: 'u1' },
        { topic: 'order.shipped', shardingKey: 'u1' },
        { topic: 'order.shipped', shardingKey: 'u1' },
      )
      const owner = t.owner()
      const paid = await t.lease('ledger', owner, { topic: 'order.paid' })
      const shipped = await t.lease('ledger', owner, { topic: 'order.shipped' })
      const [head] = await t.read(paid)
      await t.bury(paid, head!)
      const later = await t.read(shipped)
      assert.deepEqual(
        later.map((message) => message.blocked),
        [false, false],
      )
      await t.settle(shipped, later[0]!, { state: 'retrying', dueAt: t.now + 60_000 })
      await t.settle(shipped, later[1]!, { state: 'held' }, later[1]!.position)
      assert.equal(await t.store.discardDead([{ group: 'ledger', id: head!.id }], note), 1)
      assert.deepEqual(await t.statesOf(shipped, idsOf(later)), ['retrying', 'held'])
    },
  },
  {
    name: 'P21: groups without order are never blocked',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'], { ordered: false })
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(await blocked(t, lease), [false, false])
    },
  },
  {
    name: 'P21: held followers are released one by one, in order, each with the receipt before it',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u1', 'u1'])
      await failHead(t, lease, messages)
      for (const message of messages) {
        assert.deepEqual(await t.dueIds(lease), [message.id])
        assert.deepEqual(await t.runRetried(lease, message), [message.id])
      }
      assert.deepEqual(await t.dueIds(lease), [])
      assert.deepEqual(
        await t.effects(),
        messages.map(({ id }) => `orders:${id}`),
      )
    },
  },
  {
    name: 'P21: a release that is rolled back releases nothing',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      await failHead(t, lease, messages)
      const failed = t.transaction(async (tx) => {
        await t.store.claim(tx, lease, [messages[0]!], 'retrying')
        await t.store.releaseFollower(tx, lease, 'u1')
        throw new Error('crash before commit')
      })
      await assert.rejects(failed)
      assert.deepEqual(await t.statesOf(lease, idsOf(messages)), ['retrying', 'held'])
    },
  },
  {
    name: 'P21: a follower that fails in its turn holds the rest',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u1'])
      await failHead(t, lease, messages)
      await t.runRetried(lease, messages[0]!)
      await t.settle(lease, messages[1]!, { state: 'retrying', dueAt: t.now + 10_000 })
      assert.deepEqual(await t.dueIds(lease), [])
      await t.advance(10_000)
      await t.runRetried(lease, messages[1]!)
      assert.deepEqual(await t.dueIds(lease), [messages[2]!.id])
    },
  },
  {
    name: 'P21: a message that arrives while followers are held joins the end',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      await failHead(t, lease, messages)
      await t.runRetried(lease, messages[0]!)
      const [late] = await t.publish({ shardingKey: 'u1' })
      const [read] = await t.read(lease, messages[1]!.position)
      assert.deepEqual({ id: read!.id, blocked: read!.blocked }, { id: late, blocked: true })
      await t.settle(lease, read!, { state: 'held' }, read!.position)
      assert.deepEqual(await t.dueIds(lease), [messages[1]!.id])
      await t.runRetried(lease, messages[1]!)
      assert.deepEqual(await t.dueIds(lease), [late])
    },
  },
  {
    name: 'P21: what is settled together counts in the order of the log, however it is given',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u1'])
      const [head, second, third] = messages
      const held = { state: 'held', attempts: 0 } as const
      await t.store.settle(
        lease,
        [
          { message: third!, ...held },
          { message: second!, ...held },
          { message: head!, state: 'retrying', attempts: 1, dueAt: t.now },
        ],
        third!.position,
      )
      assert.deepEqual(await t.statesOf(lease, idsOf(messages)), ['retrying', 'held', 'held'])
    },
  },
  {
    name: 'P21: a message that is to be held when nothing is left to wait for is due at once',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now }, messages[0]!.position)
      const [, second] = await t.read(lease, 0)
      assert.equal(second!.blocked, true)
      await t.runRetried(lease, messages[0]!)
      await t.settle(lease, second!, { state: 'held' }, second!.position)
      assert.deepEqual(await t.dueIds(lease), [second!.id])
    },
  },
  {
    name: 'P21: hold keeps followers behind a dead head',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      await failHead(t, lease, messages)
      await t.settle(lease, messages[0]!, { state: 'dead', releaseFollower: true })
      assert.deepEqual(await t.statesOf(lease, idsOf(messages)), ['dead', 'held'])
      assert.deepEqual(await t.dueIds(lease, t.now + 1e9), [])
    },
  },
  {
    name: 'P21: giving a dead head up frees the next, and only the next',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u1'])
      await failHead(t, lease, messages)
      await t.bury(lease, messages[0]!)
      assert.equal(await t.store.discardDead([{ group: 'orders', id: messages[0]!.id }], note), 1)
      assert.deepEqual(await t.statesOf(lease, idsOf(messages)), ['discarded', 'retrying', 'held'])
      assert.deepEqual(await t.dueIds(lease), [messages[1]!.id])
    },
  },
  {
    name: 'P21: a redriven head runs before the followers that it held',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u1'])
      await failHead(t, lease, messages)
      await t.bury(lease, messages[0]!)
      assert.equal(await t.store.redrive([{ group: 'orders', id: messages[0]!.id }], note), 1)
      for (const message of messages) {
        assert.deepEqual(await t.dueIds(lease), [message.id])
        await t.runRetried(lease, message)
      }
    },
  },
  {
    name: 'P21: skip lets followers go on past a dead head, and redrive does not hold them again',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u1'], { onFailure: 'skip' })
      await failHead(t, lease, messages)
      assert.deepEqual(await t.dueIds(lease), [messages[0]!.id])
      await t.settle(lease, messages[0]!, { state: 'dead', releaseFollower: true })
      assert.deepEqual(await t.statesOf(lease, idsOf(messages)), ['dead', 'retrying', 'held'])
      const [late] = await t.publish({ shardingKey: 'u1' })
      await t.runRetried(lease, messages[1]!)
      await t.runRetried(lease, messages[2]!)
      const [read] = await t.read(lease, messages[2]!.position)
      assert.deepEqual({ id: read!.id, blocked: read!.blocked }, { id: late, blocked: false })
    },
  },
  {
    name: 'P21: dead letters of one key that are redriven together run one by one, in order',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1', 'u2', 'u1'], { onFailure: 'skip' })
      for (const message of messages) await t.bury(lease, message)
      await t.store.settle(lease, [], messages.at(-1)!.position)
      const selection = messages.toReversed().map(({ id }) => ({ group: 'orders', id }))
      assert.equal(await t.store.redrive(selection, note), 4)
      const [a, b, other, c] = messages
      assert.deepEqual((await t.dueIds(lease)).toSorted(), [a!.id, other!.id].toSorted())
      await t.settle(lease, a!, { state: 'retrying', dueAt: t.now + 10_000 })
      assert.deepEqual(await t.dueIds(lease), [other!.id], 'a head that fails again keeps its followers')
      await t.advance(10_000)
      await t.runRetried(lease, a!)
      await t.runRetried(lease, b!)
      assert.deepEqual(await t.dueIds(lease), [other!.id, c!.id])
    },
  },
  {
    name: 'P21: a redriven message waits for an earlier one of its key that is still dead, under hold',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      for (const message of messages) await t.bury(lease, message)
      await t.store.settle(lease, [], messages[1]!.position)
      assert.equal(await t.store.redrive([{ group: 'orders', id: messages[1]!.id }], note), 1)
      assert.deepEqual(await t.dueIds(lease), [])
      await t.store.redrive([{ group: 'orders', id: messages[0]!.id }], note)
      assert.deepEqual(await t.dueIds(lease), [messages[0]!.id])
      await t.runRetried(lease, messages[0]!)
      assert.deepEqual(await t.dueIds(lease), [messages[1]!.id])
    },
  },
  {
    name: 'P21: another process keeps the same order',
    async run(t) {
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      await failHead(t, lease, messages)
      await t.bury(lease, messages[0]!)
      const { store } = await t.another()
      assert.deepEqual(
        (await store.read(lease, 0, 10)).map((message) => message.blocked),
        [false, true],
      )
      assert.equal(await store.discardDead([{ group: 'orders', id: messages[0]!.id }], note), 1)
      assert.deepEqual(await t.dueIds(lease), [messages[1]!.id])
    },
  },
  {
    name: 'P21: a process that looked before the group was declared keeps its order all the same',
    async run(t) {
      const { store } = await t.another()
      const early = { ...(await t.groupWithLease('early')), reader: 'orders' }
      assert.deepEqual(await store.read(early, 0, 10), [])
      const { lease, messages } = await ordered(t, ['u1', 'u1'])
      await t.settle(lease, messages[0]!, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(
        (await store.read(lease, 0, 10)).map((message) => message.blocked),
        [false, true],
      )
    },
  },
]

const note = { by: 'ops', because: 'the bank is back' }

async function ordered(t: StoreBench, keys: readonly (string | null)[], options: GroupOptions = {}) {
  const lease = await t.groupWithLease('orders', { ordered: true, ...options })
  await t.publish(...keys.map((shardingKey) => ({ shardingKey })))
  return { lease, messages: await t.read(lease) }
}

/** The first fails, and the rest are held behind it. */
async function failHead(
  t: StoreBench,
  lease: Lease,
  [head, ...followers]: readonly ReadMessage[],
): Promise<void> {
  const held = followers.map((message) => ({ message, state: 'held', attempts: 0 }) as const)
  await t.store.settle(
    lease,
    [{ message: head!, state: 'retrying', attempts: 1, dueAt: t.now }, ...held],
    followers.at(-1)!.position,
  )
}

async function blocked(t: StoreBench, lease: Lease): Promise<boolean[]> {
  return (await t.read(lease, 0)).map((message) => message.blocked)
}
