import assert from 'node:assert/strict'
import { type StorePromise, idsOf, needsTimeTravel, rejectsWith } from '../store-bench.ts'

const dedupWindowMs = 24 * 3_600_000

/** DESIGN §5 and §7: messages are in the log if and only if the transaction commits. */
export const publishing: readonly StorePromise[] = [
  {
    name: 'a publish commits with the business change',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const appended = await t.transaction(async (tx) => {
        await t.subject.effects.add(tx, 'order 42 is paid')
        return await t.appendIn(tx, { body: '{"order":42}' })
      })
      assert.equal(appended[0]!.duplicate, false)
      assert.deepEqual(await t.readIds(lease), [appended[0]!.id])
      assert.deepEqual(await t.effects(), ['order 42 is paid'])
    },
  },
  {
    name: 'a publish is rolled back with the business change',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const failed = t.transaction(async (tx) => {
        await t.subject.effects.add(tx, 'order 42 is paid')
        await t.appendIn(tx, {}, {})
        throw new Error('the payment bounced')
      })
      await assert.rejects(failed, /the payment bounced/)
      assert.deepEqual(await t.read(lease), [])
      assert.deepEqual(await t.effects(), [])
    },
  },
  {
    name: 'a message comes back as it was given, with its queue and position',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const draft = t.draft({
        body: JSON.stringify({ text: 'red packet 🧧 红包', nested: [1, null, true, 'a"b\\c\n'] }),
        tag: 'vip',
        key: 'order-42',
        shardingKey: 'u1',
        headers: { traceparent: '00-4bf92f-01', 'x-emoji': '🚚' },
        eligibleAt: t.now - 5,
      })
      await t.append(draft)
      const { dedupKey: _, ...envelope } = draft
      const [read] = await t.read(lease)
      assert.deepEqual(read, {
        ...envelope,
        queue: 0,
        position: read!.position,
        source: null,
        disposition: null,
        blocked: false,
      })
      assert.ok(Number.isSafeInteger(read!.position) && read!.position > 0)
    },
  },
  {
    name: 'text is kept to the character: emoji, quotes, other scripts, U+FFFF',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const text = `'"\\ \t 🧧👨‍👩‍👧 红包 עברית \u0001 \u2028 \uFFFF ${'é'.normalize('NFD')}`
      await t.publish(
        { body: JSON.stringify(text), key: text, tag: text, headers: { text } },
        { body: JSON.stringify([text]), key: text },
      )
      const [first, second] = await t.read(lease)
      assert.equal(JSON.parse(first!.body as string), text)
      assert.deepEqual([first!.key, first!.tag, first!.headers['text']], [text, text, text])
      assert.deepEqual(JSON.parse(second!.body as string), [text])
      assert.equal(second!.key, text)
    },
  },
  {
    name: 'binary bodies come back byte for byte, alone and in a batch',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const every = Uint8Array.from({ length: 256 }, (_, i) => i)
      const part = every.subarray(16, 48)
      await t.publish({ body: every })
      await t.publish({ body: part }, { body: new Uint8Array() }, { body: '{"json":true}' })
      await t.publish({ body: new Uint8Array() })
      const bodies = (await t.read(lease)).map(({ body }) =>
        typeof body === 'string' ? body : Array.from(body),
      )
      assert.deepEqual(bodies, [Array.from(every), Array.from(part), [], '{"json":true}', []])
    },
  },
  {
    name: 'bodies of one MiB come back whole, alone and in a batch',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const text = JSON.stringify('🧧'.repeat(1024 * 256 - 1))
      const bytes = new Uint8Array(1024 * 1024).fill(7)
      await t.publish({ body: text })
      await t.publish({ body: text }, { body: bytes })
      const bodies = (await t.read(lease)).map(({ body }) => body)
      assert.deepEqual(
        bodies.map((body) => body.length),
        [text.length, text.length, bytes.length],
      )
      assert.ok(bodies[0] === text && bodies[1] === text && bodies[2]!.at(-1) === 7)
    },
  },
  {
    name: 'several messages in one publish keep their order and are answered in it',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids = await t.publishMany(250)
      assert.equal(new Set(ids).size, 250)
      assert.deepEqual(await t.readIds(lease), ids)
    },
  },
  {
    name: 'publishing nothing is nothing',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      assert.deepEqual(await t.append(), [])
      assert.deepEqual(await t.read(lease), [])
    },
  },
  {
    name: 'one publish may mix topics',
    async run(t) {
      await t.topic({ name: 'order.shipped', queues: 1 })
      await t.group('ledger', {
        topics: [
          { name: 'order.paid', queues: 1 },
          { name: 'order.shipped', queues: 1 },
        ],
      })
      const [a, b, c] = await t.publish({ topic: 'order.shipped' }, {}, { topic: 'order.shipped' })
      const owner = t.owner()
      assert.deepEqual(await t.readIds(await t.lease('ledger', owner, { topic: 'order.paid' })), [b])
      assert.deepEqual(await t.readIds(await t.lease('ledger', owner, { topic: 'order.shipped' })), [a, c])
    },
  },
  {
    name: 'P18: one sharding key keeps to one queue, and in order',
    async run(t) {
      const wide = { name: 'order.wide', queues: 8 }
      await t.topic(wide)
      await t.group('coupon', { topics: [wide] })
      const keys = ['u1', 'u2', '订单', '🧧']
      for (let round = 0; round < 3; round++)
        await t.publish(
          ...keys.map((shardingKey) => ({ topic: wide.name, shardingKey, key: `${shardingKey}-${round}` })),
        )
      const { leases } = await t.share(t.owner(), 'coupon')
      const queues = await Promise.all(leases.map((lease) => t.read(lease)))
      for (const shardingKey of keys) {
        const holding = queues.filter((messages) =>
          messages.some((message) => message.shardingKey === shardingKey),
        )
        assert.equal(holding.length, 1)
        assert.deepEqual(
          holding[0]!.filter((message) => message.shardingKey === shardingKey).map(({ key }) => key),
          [0, 1, 2].map((round) => `${shardingKey}-${round}`),
        )
      }
    },
  },
  {
    name: 'P19: a sharding key’s queue is FNV-1a 32 of its UTF-8 bytes, modulo the queues',
    async run(t) {
      const wide = { name: 'order.wide', queues: 8 }
      await t.topic(wide)
      await t.group('coupon', { topics: [wide] })
      // Worked out apart from this code: fnv1a32('a') = 0xe40c292c, fnv1a32('foobar') = 0xbf9cf968.
      await t.publish({ topic: wide.name, shardingKey: 'a' }, { topic: wide.name, shardingKey: 'foobar' })
      const { leases } = await t.share(t.owner(), 'coupon')
      const queueOf = async (shardingKey: string) => {
        for (const lease of leases)
          if ((await t.read(lease)).some((message) => message.shardingKey === shardingKey)) return lease.queue
        return undefined
      }
      assert.deepEqual([await queueOf('a'), await queueOf('foobar')], [0xe40c292c % 8, 0xbf9cf968 % 8])
    },
  },
  {
    name: 'messages without a sharding key are spread over the queues',
    async run(t) {
      const wide = { name: 'order.wide', queues: 4 }
      await t.topic(wide)
      await t.group('coupon', { topics: [wide] })
      await t.publishMany(100, { topic: wide.name })
      const { leases } = await t.share(t.owner(), 'coupon')
      for (const lease of leases) assert.ok((await t.read(lease)).length > 0, `queue ${lease.queue} has some`)
    },
  },
  {
    name: 'P27: a second publish of a dedup key is a no-op that answers the first one’s id',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [first] = await t.append({ dedupKey: 'pay-42' })
      const [second] = await t.append({ dedupKey: 'pay-42', body: '{"again":true}' })
      assert.equal(first!.duplicate, false)
      assert.deepEqual(second, { id: first!.id, duplicate: true })
      assert.deepEqual(await t.readIds(lease), [first!.id])
    },
  },
  {
    name: 'P27: the same dedup key twice in one publish is one message',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const appended = await t.append(
        { dedupKey: 'pay-42' },
        {},
        { dedupKey: 'pay-42' },
        { dedupKey: 'pay-43' },
      )
      assert.deepEqual(
        appended.map(({ duplicate }) => duplicate),
        [false, false, true, false],
      )
      assert.equal(appended[2]!.id, appended[0]!.id)
      assert.deepEqual(await t.readIds(lease), [appended[0]!.id, appended[1]!.id, appended[3]!.id])
    },
  },
  {
    name: 'P27: a rolled-back publish leaves its dedup key free',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const failed = t.transaction(async (tx) => {
        await t.appendIn(tx, { dedupKey: 'pay-42' })
        throw new Error('the payment bounced')
      })
      await assert.rejects(failed)
      const [again] = await t.append({ dedupKey: 'pay-42' })
      assert.equal(again!.duplicate, false)
      assert.deepEqual(await t.readIds(lease), [again!.id])
    },
  },
  {
    name: 'P27: a dedup key counts within one transaction before it commits',
    async run(t) {
      await t.groupWithLease('coupon')
      await t.transaction(async (tx) => {
        const [first] = await t.appendIn(tx, { dedupKey: 'pay-42' })
        const [second] = await t.appendIn(tx, { dedupKey: 'pay-42' })
        assert.deepEqual(second, { id: first!.id, duplicate: true })
      })
    },
  },
  {
    name: 'P27: dedup keys are per service and topic',
    async run(t) {
      await t.topic({ name: 'order.shipped', queues: 1 })
      const appended = await t.append(
        { dedupKey: 'k' },
        { dedupKey: 'k', topic: 'order.shipped' },
        { dedupKey: 'k', service: 'payment' },
      )
      assert.deepEqual(
        appended.map(({ duplicate }) => duplicate),
        [false, false, false],
      )
    },
  },
  {
    name: 'P27: a dedup key is free again after 24 hours, and not before',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [first] = await t.append({ dedupKey: 'pay-42' })
      await t.advance(dedupWindowMs - 1)
      assert.deepEqual(await t.append({ dedupKey: 'pay-42' }), [{ id: first!.id, duplicate: true }])
      await t.advance(1)
      const [later] = await t.append({ dedupKey: 'pay-42' })
      assert.equal(later!.duplicate, false)
      assert.deepEqual(await t.append({ dedupKey: 'pay-42' }), [{ id: later!.id, duplicate: true }])
      assert.deepEqual(await t.readIds(lease), [first!.id, later!.id])
    },
  },
  {
    name: 'P27: another process meets the same dedup keys',
    async run(t) {
      const [first] = await t.append({ dedupKey: 'pay-42' })
      const other = await t.another()
      const [second] = await other.transaction({
        work: (tx) =>
          other.store.append(tx, [t.draft({ dedupKey: 'pay-42' })], [{ name: 'order.paid', queues: 1 }]),
      })
      assert.deepEqual(second, { id: first!.id, duplicate: true })
    },
  },
  {
    name: 'P19: a publish to a topic with another number of queues is refused, and nothing of it is stored',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publish({})
      const error = await rejectsWith('topic.queues-differ', () =>
        t.transaction((tx) => t.store.append(tx, [t.draft()], [{ name: 'order.paid', queues: 2 }])),
      )
      assert.deepEqual(
        { stored: error.facts['stored'], declared: error.facts['declared'] },
        { stored: 1, declared: 2 },
      )
      assert.equal((await t.read(lease)).length, 1)
    },
  },
  {
    name: 'a publish creates its topic, and a rolled-back one does not',
    async run(t) {
      const fresh = { name: 'order.fresh', queues: 3 }
      const failed = t.transaction(async (tx) => {
        await t.store.append(tx, [t.draft({ topic: fresh.name })], [fresh])
        throw new Error('the payment bounced')
      })
      await assert.rejects(failed)
      assert.ok(!(await t.store.topics()).some(({ name }) => name === fresh.name))
      await t.transaction((tx) =>
        t.store.append(tx, [t.draft({ topic: fresh.name })], [{ ...fresh, queues: 5 }]),
      )
      assert.deepEqual(
        (await t.store.topics()).find(({ name }) => name === fresh.name),
        { ...fresh, queues: 5 },
      )
      await rejectsWith('topic.queues-differ', () => t.store.declareTopics([fresh]))
    },
  },
  {
    name: 'messages of concurrent publishers all arrive, each batch in its order',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const other = await t.another()
      const publish = async (database: typeof other, tag: string) =>
        database.transaction({
          work: (tx) =>
            database.store.append(
              tx,
              [0, 1, 2].map((i) => t.draft({ tag, key: `${tag}${i}` })),
              [{ name: 'order.paid', queues: 1 }],
            ),
        })
      await Promise.all(
        ['a', 'b', 'c', 'd', 'e', 'f'].map((tag, i) => publish(i % 2 === 0 ? t.database : other, tag)),
      )
      const read = await t.read(lease)
      assert.equal(read.length, 18)
      for (const tag of ['a', 'b', 'c', 'd', 'e', 'f'])
        assert.deepEqual(
          read.filter((message) => message.tag === tag).map(({ key }) => key),
          [`${tag}0`, `${tag}1`, `${tag}2`],
        )
      assert.deepEqual(idsOf(read), idsOf(read.toSorted((a, b) => a.position - b.position)))
    },
  },
]
