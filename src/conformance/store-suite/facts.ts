import assert from 'node:assert/strict'
import type { MessageFacts } from '../../core/facts.ts'
import { type StoreBench, type StorePromise, needsTimeTravel } from '../store-bench.ts'

const note = { by: 'ann', because: 'testing' }

export const facts: readonly StorePromise[] = [
  {
    name: 'facts are found by id and by key, newest first, wherever the message lies',
    async run(t) {
      const [logged, delayed] = await t.publish(
        { key: 'order-1' },
        { key: 'order-1', publishedAt: t.now + 1, eligibleAt: t.now + 60_000 },
      )
      const half = t.draft({ key: 'order-1', publishedAt: t.now + 2 })
      await t.store.halves.prepare(half, { name: half.topic, queues: 1 }, t.now + 1_000)
      const rolledBack = t.draft({ key: 'order-1', publishedAt: t.now + 3 })
      await t.store.halves.prepare(rolledBack, { name: half.topic, queues: 1 }, t.now + 1_000)
      await t.store.halves.decide(rolledBack.id, 'rollback', 'person', 'ann: not paid')
      const found = await t.store.facts.of({ key: 'order-1' })
      assert.deepEqual(
        found.messages.map(({ id, place }) => [id, place]),
        [
          [rolledBack.id, 'ended'],
          [half.id, 'half'],
          [delayed, 'delayed'],
          [logged, 'log'],
        ],
      )
      assert.equal(found.more, false)
      for (const { id } of found.messages) {
        const { messages } = await t.store.facts.of({ id })
        assert.deepEqual(messages, [found.messages.find((message) => message.id === id)])
      }
      assert.deepEqual((await t.store.facts.of({ key: 'order-2' })).messages, [])
    },
  },
  {
    name: 'facts tell of each group that reads the queue what became of the message, and nothing of one that began later',
    async run(t) {
      const mail = await t.groupWithLease('mail')
      const coupon = await t.groupWithLease('coupon')
      const [id] = await t.publish({ key: 'order-1' })
      await t.group('late', { from: 'now' })
      const read = await t.read(mail)
      await t.run(mail, read)
      assert.deepEqual(statesOf(await messageOf(t, id!)), { mail: 'done', coupon: 'waiting' })
      await t.settle(coupon, read[0]!, {
        state: 'retrying',
        cause: 'dependency.down',
        because: '503',
        dependency: 'sms',
        dueAt: t.now + 5,
      })
      const [failed] = (await messageOf(t, id!)).groups
      assert.deepEqual(failed, {
        group: 'coupon',
        state: 'retrying',
        attempts: 1,
        generation: 0,
        dueAt: t.now + 5,
        cause: 'dependency.down',
        because: '503',
        dependency: 'sms',
        at: t.now,
        behind: null,
      })
    },
  },
  {
    name: 'facts of a redriven message no longer name what it died of',
    async run(t) {
      const lease = await t.groupWithLease('mail')
      const [id] = await t.publish({})
      const [message] = await t.read(lease)
      await t.settle(lease, message!, {
        state: 'dead',
        cause: 'dependency.down',
        because: '503',
        dependency: 'sms',
      })
      await t.store.redrive([{ group: 'mail', id: id! }], { by: 'an operator', because: 'SMS is back' })
      const [redriven] = (await messageOf(t, id!)).groups
      const { state, generation, cause, because, dependency } = redriven!
      assert.deepEqual([state, generation, cause, because, dependency], ['retrying', 1, null, null, null])
    },
  },
  {
    name: 'facts of a held message name the first of its key that is in the way',
    async run(t) {
      const lease = await t.groupWithLease('mail', { ordered: true })
      const [head, follower] = await t.publish({ shardingKey: 'u' }, { shardingKey: 'u' })
      const [first, second] = await t.read(lease)
      await t.bury(lease, first!)
      await t.settle(lease, second!, { state: 'held' })
      const [held] = (await messageOf(t, follower!)).groups
      assert.deepEqual(held!.behind, { id: head, state: 'dead' })
    },
  },
  {
    name: 'facts have the cursors of the queue, with start, holder and what waits',
    async run(t) {
      await t.publishMany(2)
      const lease = await t.groupWithLease('mail')
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[0]!.position)
      const { readers } = await t.store.facts.of({ id: messages[1]!.id })
      assert.deepEqual(
        readers.map(({ reader, position, start, waiting, owner }) => ({
          reader,
          position,
          start,
          waiting,
          owner,
        })),
        [{ reader: 'mail', position: messages[0]!.position, start: 0, waiting: 1, owner: lease.owner }],
      )
      assert.ok(readers[0]!.leaseUntil > t.now)
    },
  },
  {
    name: 'facts have the relay’s batch of what was published here, and none of what was landed',
    async run(t) {
      await t.store.declareReader('@relay', [{ name: 'order.paid', queues: 1 }], 'oldest')
      const [own] = await t.publish({})
      const batch = t.landing([{}])
      await t.store.land(batch)
      const lease = await t.lease('@relay')
      const messages = await t.read(lease)
      assert.equal((await messageOf(t, own!)).relayed, null)
      await t.store.advance(lease, messages[1]!.position, {
        transport: 'database',
        from: messages[0]!.position,
        count: 1,
        proof: 'p',
      })
      assert.deepEqual((await messageOf(t, own!)).relayed, { at: t.now, transport: 'database', proof: 'p' })
      const { relays, readers } = await t.store.facts.of({ id: own! })
      assert.equal(relays, true)
      assert.equal(readers[0]!.sentAt, t.now)
      const landed = await messageOf(t, batch.messages[0]!.id)
      assert.equal(landed.relayed, null)
      assert.deepEqual(landed.source, batch.messages[0]!.from)
    },
  },
  {
    name: 'facts have what was suppressed, what has landed up to where, groups with their pauses, and dependencies',
    async run(t) {
      await t.group('mail')
      await t.store.groups.pause('mail', note)
      await t.store.registerGroups(['elsewhere'], 'another-database')
      const batch = t.landing([{}])
      await t.store.land(batch)
      await t.store.land(batch)
      const sight = {
        name: 'sms',
        owner: 'owner-1',
        service: 'order',
        state: 'open',
        since: t.now,
        because: '503',
        groups: ['mail'],
        until: t.now + 10,
      } as const
      await t.store.dependencies.report(sight)
      const found = await t.store.facts.of({ id: batch.messages[0]!.id })
      assert.deepEqual(found.messages[0]!.suppressed, [{ cause: 'received-again', at: t.now }])
      assert.deepEqual(
        found.landed,
        batch.upTo.map(({ source, topic, queue, position }) => ({ source, topic, queue, position })),
      )
      assert.deepEqual(
        found.groups.map(({ name, database, topics, paused }) => [name, database, topics, paused?.by]),
        [
          ['elsewhere', 'another-database', [], undefined],
          ['mail', found.epoch, ['order.paid'], 'ann'],
        ],
      )
      assert.deepEqual(found.dependencies, [sight])
    },
  },
  {
    name: 'facts tell of what is only left in copies',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('mail')
      const [id] = await t.publish({ key: 'order-1' })
      const [message] = await t.read(lease)
      await t.settle(
        lease,
        message!,
        { state: 'dead', cause: 'handler.dead-lettered', because: 'no' },
        message!.position,
      )
      await t.advance(86_400_000)
      while ((await t.store.purge(t.now)) > 0);
      const { messages } = await t.store.facts.of({ key: 'order-1' })
      assert.deepEqual(
        messages.map((one) => [one.id, one.place, one.service]),
        [[id, 'copy', 'order']],
      )
      assert.deepEqual(statesOf(messages[0]!), { mail: 'dead' })
    },
  },
  {
    name: 'P31: once something was dropped, facts and books say since when everything is kept',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('mail')
      await t.publish({})
      const messages = await t.read(lease)
      await t.run(lease, messages)
      await t.store.advance(lease, messages[0]!.position)
      assert.equal((await t.store.facts.of({ key: 'order-1' })).keptSince, null)
      await t.advance(1_000)
      await t.store.purge(messages[0]!.publishedAt)
      assert.equal((await t.store.facts.of({ key: 'order-1' })).keptSince, null, 'nothing was dropped')
      await t.store.purge(t.now)
      assert.equal((await t.store.facts.of({ key: 'order-1' })).keptSince, t.now)
      assert.equal((await t.store.facts.books.open()).keptSince, t.now)
      assert.equal(await t.store.facts.books.keptSince(), t.now)
    },
  },
  {
    name: 'facts of a key with more than 100 messages are of the newest, and say that there are more',
    async run(t) {
      const ids = await t.publishMany(101, { key: 'order-1' })
      const found = await t.store.facts.of({ key: 'order-1' })
      assert.equal(found.more, true)
      assert.deepEqual(
        found.messages.map(({ id }) => id),
        ids.slice(1).toReversed(),
      )
    },
  },
]

async function messageOf(t: StoreBench, id: MessageFacts['id']): Promise<MessageFacts> {
  const [message] = (await t.store.facts.of({ id })).messages
  assert.ok(message, `${id} is known`)
  return message
}

function statesOf({ groups }: MessageFacts): Record<string, string> {
  return Object.fromEntries(groups.map(({ group, state }) => [group, state]))
}
