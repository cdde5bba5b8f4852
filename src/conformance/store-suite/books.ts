import assert from 'node:assert/strict'
import type { BookPage } from '../../core/books.ts'
import { type StoreBench, type StorePromise, needsTimeTravel } from '../store-bench.ts'

const dayMs = 86_400_000

export const books: readonly StorePromise[] = [
  {
    name: 'P30: every message of a group is counted once, in its state',
    async run(t) {
      const lease = await t.groupWithLease('mail')
      await t.publishMany(6)
      const [done, dead, retrying, filtered, discarded] = await t.read(lease)
      await t.run(lease, [done!])
      await t.bury(lease, dead!)
      await t.settle(lease, retrying!, { state: 'retrying', dueAt: t.now + 1 })
      await t.settle(lease, filtered!, { state: 'filtered' })
      await t.settle(lease, discarded!, { state: 'discarded' }, discarded!.position)
      assert.deepEqual(await counted(t, 'mail'), {
        counts: { done: 1, dead: 1, retrying: 1, filtered: 1, discarded: 1, waiting: 1 },
        faults: [],
      })
    },
  },
  {
    name: 'P30: what comes after the watermark is not in the books, and what is before a group’s start is not its own',
    async run(t) {
      await t.publishMany(2)
      await t.group('mail', { from: 'now' })
      await t.publishMany(3)
      const { watermark } = await t.store.facts.books.open()
      await t.publishMany(4)
      assert.deepEqual(await counted(t, 'mail', watermark), { counts: { waiting: 3 }, faults: [] })
    },
  },
  {
    name: 'P2: a message that its group has passed without a disposition is named',
    async run(t) {
      const lease = await t.groupWithLease('mail')
      await t.publishMany(2)
      const messages = await t.read(lease)
      await t.run(lease, [messages[0]!])
      await t.store.advance(lease, messages[1]!.position)
      assert.deepEqual(await counted(t, 'mail'), {
        counts: { done: 1 },
        faults: [`unaccounted ${messages[1]!.id}`],
      })
    },
  },
  {
    name: 'what is dropped from the log is still in the books while it is to be delivered',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('mail')
      await t.publishMany(2)
      const messages = await t.read(lease)
      await t.run(lease, [messages[0]!])
      await t.bury(lease, messages[1]!)
      await t.store.advance(lease, messages[1]!.position)
      await t.advance(dayMs)
      while ((await t.store.purge(t.now)) > 0);
      assert.deepEqual(await counted(t, 'mail'), { counts: { dead: 1 }, faults: [] })
    },
  },
  {
    name: 'the books are opened with the readers, their topics and starts, and with what has not entered the log',
    async run(t) {
      await t.group('mail')
      await t.store.registerGroups(['elsewhere'], 'another-database')
      await t.publish({}, { eligibleAt: t.now + 60_000 })
      const half = t.draft()
      await t.store.halves.prepare(half, { name: half.topic, queues: 1 }, t.now + 1_000)
      const opening = await t.store.facts.books.open()
      assert.deepEqual(opening.readers, [
        { name: 'mail', topics: ['order.paid'], start: 'oldest', createdAt: t.now },
      ])
      assert.deepEqual(opening.outside, [
        { topic: 'order.paid', state: 'delayed', count: 1 },
        { topic: 'order.paid', state: 'in-doubt', count: 1 },
      ])
      assert.equal(opening.carries, false)
      assert.equal(opening.epoch, await t.store.epoch())
    },
  },
  {
    name: 'P30: of the relay, what is before its cursor is done, what it refused is dead, and the rest in transit',
    async run(t) {
      await t.store.declareReader('@relay', [{ name: 'order.paid', queues: 1 }], 'oldest')
      const ids = await t.publishMany(4)
      await t.store.land(t.landing([{}]))
      const lease = await t.lease('@relay')
      const messages = await t.read(lease)
      await t.settle(lease, messages[1]!, { state: 'dead', cause: 'transport.refused', because: 'no' })
      await t.store.advance(lease, messages[2]!.position, {
        transport: 'database',
        from: messages[0]!.position,
        count: 2,
        proof: 'p',
      })
      assert.deepEqual(await counted(t, '@relay'), {
        counts: { done: 2, dead: 1, 'in-transit': 1 },
        faults: [],
      })
      const { watermark } = await t.store.facts.books.open()
      const sent = await t.store.facts.books.sent(watermark, 0)
      assert.deepEqual(sent, {
        queues: [{ topic: 'order.paid', queue: 0, ids: [ids[0], ids[2]] }],
        next: undefined,
      })
      const [described] = await t.store.facts.books.describe([ids[0]!, t.draft().id])
      assert.deepEqual(described, {
        id: ids[0],
        key: null,
        topic: 'order.paid',
        queue: 0,
        position: messages[0]!.position,
        publishedAt: t.now,
        eligibleAt: t.now,
        sentAt: t.now,
        resent: false,
        transport: 'database',
        proof: 'p',
      })
    },
  },
  {
    name: 'lacking names what a database has no trace of: neither the message, nor a copy, nor a receipt',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('mail')
      await t.publishMany(3)
      const messages = await t.read(lease)
      await t.run(lease, [messages[0]!])
      await t.bury(lease, messages[1]!)
      await t.store.advance(lease, messages[1]!.position)
      await t.advance(dayMs - 1)
      while ((await t.store.purge(t.now)) > 0);
      const stranger = t.draft().id
      const ids = [...messages.map(({ id }) => id), stranger]
      assert.deepEqual(await t.store.facts.books.lacking(ids), [stranger])
    },
  },
  {
    name: 'a carrier says which services have fetched a message, and which began after it',
    async run(t) {
      const batch = t.landing([{}])
      await t.store.land(batch)
      const topics = [{ name: 'order.paid', queues: 1 }]
      await t.store.declareReader('@land:mail/order.paid', topics, 'oldest')
      await t.store.declareReader('@land:late/order.paid', topics, 'now')
      const [at] = await t.store.facts.books.carried([batch.messages[0]!.id, t.draft().id])
      assert.deepEqual(
        { ...at, position: 0 },
        {
          id: batch.messages[0]!.id,
          queue: 0,
          position: 0,
          services: 2,
          unfetched: 1,
          notOwed: 1,
        },
      )
      assert.equal((await t.store.facts.books.open()).carries, true)
    },
  },
]

interface Counted {
  readonly counts: Record<string, number>
  readonly faults: readonly string[]
}

/** All portions of a reader together. */
async function counted(t: StoreBench, reader: string, upTo?: number): Promise<Counted> {
  const own = t.store.facts.books
  const watermark = upTo ?? (await own.open()).watermark
  const counts: Record<string, number> = {}
  const faults: string[] = []
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: BookPage = await own.count(reader, watermark, after)
    for (const { state, count } of page.counts) counts[state] = (counts[state] ?? 0) + count
    faults.push(...page.offenders.map(({ fault, id }) => `${fault} ${id}`))
    after = page.next
  }
  return { counts, faults }
}
