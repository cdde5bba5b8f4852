import assert from 'node:assert/strict'
import type { MessageId } from '../../core/ids.ts'
import { type StoreBench, type StorePromise, needsTimeTravel, paid, rejectsWith } from '../store-bench.ts'

/** P1, P2, P4, P13: what a transport brought is appended with its source position, in one transaction. */
export const landing: readonly StorePromise[] = [
  {
    name: 'P1: what lands is in the log as it was sent, in the order given, with where it came from',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const batch = t.landing([
        { key: 'a', service: 'order', headers: { h: '1' } },
        { body: new Uint8Array([1, 2, 3]) },
        { body: new Uint8Array(), tag: 'vip', shardingKey: 'u1' },
      ])
      assert.deepEqual(await t.store.land(batch), ['landed', 'landed', 'landed'])
      const read = await t.read(lease)
      assert.deepEqual(
        read.map((message) => ({ ...message, body: plain(message.body) })),
        batch.messages.map(({ from, body, ...envelope }, i) => ({
          ...envelope,
          position: read[i]!.position,
          body: plain(body),
          queue: 0,
          source: from,
          disposition: null,
          blocked: false,
        })),
      )
    },
  },
  {
    name: 'P1: the source position moves with the messages',
    async run(t) {
      assert.equal(await t.store.landedUpTo('database:elsewhere', 'order.paid', 0), undefined)
      await t.store.land(t.landing([{}, {}, {}]))
      assert.equal((await t.store.landedUpTo('database:elsewhere', 'order.paid', 0))?.position, 3)
      assert.equal(await t.store.landedUpTo('database:elsewhere', 'order.paid', 1), undefined)
      assert.equal(await t.store.landedUpTo('database:elsewhere', 'order.shipped', 0), undefined)
      assert.equal(await t.store.landedUpTo('database:third', 'order.paid', 0), undefined)
    },
  },
  {
    name: 'P1: the source position never moves back',
    async run(t) {
      const late = t.landing([{}, {}], 'database:elsewhere', 8)
      await t.store.land(late)
      await t.store.land(t.landing([{}], 'database:elsewhere', 3))
      assert.equal((await t.store.landedUpTo('database:elsewhere', 'order.paid', 0))?.position, 9)
    },
  },
  {
    name: 'P1: a batch that fails lands nothing, and its source position stands',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const batch = t.landing([{}, {}])
      const broken = {
        ...batch,
        messages: [batch.messages[0]!, { ...batch.messages[1]!, service: null as unknown as string }],
      }
      await assert.rejects(t.store.land(broken))
      assert.deepEqual(await t.read(lease), [])
      assert.equal(await t.store.landedUpTo('database:elsewhere', 'order.paid', 0), undefined)
      assert.deepEqual(await t.store.land(batch), ['landed', 'landed'])
    },
  },
  {
    name: 'P4: a batch that lands again is suppressed, and nothing appears twice',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const batch = t.landing([{}, {}])
      await t.store.land(batch)
      assert.deepEqual(await t.store.land(batch), ['duplicate', 'duplicate'])
      assert.equal((await t.read(lease)).length, 2)
    },
  },
  {
    name: 'P4: a message that its relay sent twice lands once, whatever position it comes from',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [first] = t.landing([{}]).messages
      const again = t.landing([first!, {}], 'database:elsewhere', 7)
      await t.store.land({ ...again, messages: [first!] })
      assert.deepEqual(await t.store.land(again), ['duplicate', 'landed'])
      assert.equal((await t.read(lease)).length, 2)
    },
  },
  {
    name: 'P4: the same message twice in one batch lands once',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [message] = t.landing([{}]).messages
      const batch = t.landing([message!, {}, message!])
      assert.deepEqual(await t.store.land(batch), ['landed', 'landed', 'duplicate'])
      assert.equal((await t.read(lease)).length, 2)
    },
  },
  {
    name: 'P4: an own message that comes back is a duplicate of the one that was published',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const draft = t.draft()
      await t.append(draft)
      assert.deepEqual(await t.store.land(t.landing([draft])), ['duplicate'])
      const [read] = await t.read(lease)
      assert.equal(read!.source, null)
      assert.deepEqual(await t.store.deadLetters({}), [])
    },
  },
  {
    name: 'P4: the same id with another body is a collision: dead-lettered, visible, and not in the log',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const draft = t.draft({ key: 'order-42' })
      await t.append(draft)
      assert.deepEqual(await t.store.land(t.landing([forged(t, draft.id), {}])), ['collision', 'landed'])
      const read = await t.read(lease)
      assert.equal(read.length, 2)
      assert.equal(read[0]!.body, draft.body)
      const [dead] = await t.store.deadLetters({ cause: 'receipt.id-collision' })
      assert.deepEqual(
        { group: dead?.group, id: dead?.id, topic: dead?.topic },
        { group: '@land', id: draft.id, topic: 'order.paid' },
      )
      assert.equal((await t.store.landedUpTo('database:elsewhere', 'order.paid', 0))?.position, 2)
    },
  },
  {
    name: 'P4: two bodies under one id in one batch: the first lands, the second is a collision',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const draft = t.draft()
      assert.deepEqual(await t.store.land(t.landing([draft, forged(t, draft.id)])), ['landed', 'collision'])
      assert.deepEqual(
        (await t.read(lease)).map(({ body }) => body),
        [draft.body],
      )
      assert.equal((await t.store.deadLetters({ group: '@land' })).length, 1)
    },
  },
  {
    name: 'P4: a collision that comes again is one dead letter',
    async run(t) {
      const draft = t.draft()
      await t.append(draft)
      const batch = t.landing([forged(t, draft.id)])
      assert.deepEqual(await t.store.land(batch), ['collision'])
      assert.deepEqual(await t.store.land(batch), ['collision'])
      assert.equal((await t.store.deadLetters({})).length, 1)
    },
  },
  {
    name: 'P4: a collision cannot be redriven, and stays given up once it is',
    async run(t) {
      const draft = t.draft()
      await t.append(draft)
      const batch = t.landing([forged(t, draft.id)])
      await t.store.land(batch)
      const key = { group: '@land', id: draft.id }
      const note = { by: 'ops', because: 'its publisher reuses ids' }
      await rejectsWith('dead-letter.unknown', () => t.store.redrive([key], note))
      assert.equal((await t.store.deadLetters({})).length, 1)
      assert.equal(await t.store.discardDead([key], note), 1)
      await t.store.land(batch)
      assert.deepEqual(await t.store.deadLetters({}), [])
    },
  },
  {
    name: 'P19: what lands goes into this database’s queues, however many its source has',
    async run(t) {
      const wide = { name: 'order.wide', queues: 2 }
      await t.topic(wide)
      await t.group('coupon', { topics: [wide] })
      const batch = t.landing([
        { topic: wide.name, shardingKey: 'a' },
        { topic: wide.name, shardingKey: 'foobar' },
        { topic: wide.name, shardingKey: 'b' },
      ])
      await t.store.land({ ...batch, topics: [{ ...wide, queues: 64 }] })
      const { leases } = await t.share(t.owner(), 'coupon')
      const found = await Promise.all(
        leases.map(async (lease) => (await t.read(lease)).map(({ queue }) => queue === lease.queue)),
      )
      assert.equal(found.flat().length, 3)
      assert.ok(found.flat().every(Boolean))
      assert.deepEqual(
        (await t.store.topics()).find(({ name }) => name === wide.name),
        wide,
      )
    },
  },
  {
    name: 'a topic that lands for the first time is created as its source has it',
    async run(t) {
      const fresh = { name: 'order.fresh', queues: 3 }
      await t.store.land({ ...t.landing([{ topic: fresh.name }]), topics: [fresh] })
      assert.deepEqual(
        (await t.store.topics()).find(({ name }) => name === fresh.name),
        fresh,
      )
    },
  },
  {
    name: 'a batch without messages still settles its source position',
    async run(t) {
      const empty = {
        messages: [],
        topics: [paid],
        upTo: [{ source: 'database:elsewhere', topic: 'order.paid', queue: 0, position: 12 }],
      }
      assert.deepEqual(await t.store.land(empty), [])
      assert.equal((await t.store.landedUpTo('database:elsewhere', 'order.paid', 0))?.position, 12)
    },
  },
  {
    name: 'a large batch lands whole and in order',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const batch = t.landing(Array.from({ length: 500 }, () => ({})))
      assert.ok((await t.store.land(batch)).every((as) => as === 'landed'))
      assert.deepEqual(
        await t.readIds(lease),
        batch.messages.map(({ id }) => id),
      )
    },
  },
  {
    name: 'P13: a landed message that is purged does not take effect again when its source sends it once more',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const batch = t.landing([{}])
      await t.store.land(batch)
      await t.advance(60_000)
      const messages = await t.read(lease)
      await t.run(lease, messages)
      await t.store.advance(lease, messages[0]!.position)
      assert.equal(await t.store.purge(t.now), 1)
      await t.store.land(batch)
      assert.deepEqual(await t.run(lease, await t.read(lease, 0)), [])
      assert.equal((await t.effects()).length, 1)
    },
  },
]

function forged(t: StoreBench, id: MessageId) {
  return t.draft({ id, body: '{"forged":true}' })
}

function plain(body: string | Uint8Array): string | number[] {
  return typeof body === 'string' ? body : Array.from(body)
}
