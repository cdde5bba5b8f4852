import assert from 'node:assert/strict'
import type { DeadLetterFilter } from '../../core/store.ts'
import { type StoreBench, type StorePromise, idsOf, needsTimeTravel } from '../store-bench.ts'

const note = { by: 'ops', because: 'the bank is back' }

export const deadLetters: readonly StorePromise[] = [
  {
    name: 'dead letters are listed by group, topic, key, id and cause',
    async run(t) {
      await t.topic({ name: 'order.shipped', queues: 1 })
      const topics = [
        { name: 'order.paid', queues: 1 },
        { name: 'order.shipped', queues: 1 },
      ]
      for (const group of ['coupon', 'logistics']) await t.group(group, { topics })
      const [a, b] = await t.publish({ key: 'order-1' }, { key: 'order-2', topic: 'order.shipped' })
      const owner = t.owner()
      for (const group of ['coupon', 'logistics']) {
        for (const topic of topics) {
          const lease = await t.lease(group, owner, { topic: topic.name })
          for (const message of await t.read(lease))
            await t.settle(lease, message, {
              state: 'dead',
              cause: group === 'coupon' ? 'handler.poison' : 'handler.retries-exhausted',
            })
        }
      }
      const list = async (filter: DeadLetterFilter) =>
        (await t.store.deadLetters(filter)).map(({ group, id }) => `${group}/${id}`).toSorted()
      assert.deepEqual(await list({}), [`coupon/${a}`, `coupon/${b}`, `logistics/${a}`, `logistics/${b}`])
      assert.deepEqual(await list({ group: 'coupon' }), [`coupon/${a}`, `coupon/${b}`])
      assert.deepEqual(await list({ topic: 'order.shipped' }), [`coupon/${b}`, `logistics/${b}`])
      assert.deepEqual(await list({ key: 'order-1' }), [`coupon/${a}`, `logistics/${a}`])
      assert.deepEqual(await list({ id: b! }), [`coupon/${b}`, `logistics/${b}`])
      assert.deepEqual(await list({ cause: 'handler.poison' }), [`coupon/${a}`, `coupon/${b}`])
      assert.deepEqual(
        await list({ group: 'logistics', key: 'order-1', cause: 'handler.retries-exhausted' }),
        [`logistics/${a}`],
      )
      assert.deepEqual(await list({ group: 'ledger' }), [])
    },
  },
  {
    name: 'dead letters are listed by when they died: since is included, until is not; oldest first',
    missing: needsTimeTravel,
    async run(t) {
      const { ids, diedAt } = await died(t, 3)
      const list = async (filter: DeadLetterFilter) => idsOf(await t.store.deadLetters(filter))
      assert.deepEqual(await list({}), ids)
      assert.deepEqual(await list({ since: new Date(diedAt[1]!) }), ids.slice(1))
      assert.deepEqual(await list({ until: new Date(diedAt[1]!) }), ids.slice(0, 1))
      assert.deepEqual(
        await list({ since: new Date(diedAt[1]!), until: new Date(diedAt[2]!) }),
        ids.slice(1, 2),
      )
      assert.deepEqual(await list({ limit: 2 }), ids.slice(0, 2))
    },
  },
  {
    name: 'dead letters are listed by the hundred unless more are asked for',
    async run(t) {
      await died(t, 120, 0)
      assert.equal((await t.store.deadLetters({})).length, 100)
      assert.equal((await t.store.deadLetters({ limit: 1_000_000 })).length, 120)
    },
  },
  {
    name: 'a redriven dead letter is due at once, whole, with its attempts begun anew',
    async run(t) {
      const { lease, ids } = await died(t, 1, 0, { body: '{"n":1}', key: 'order-1' })
      assert.equal(await t.store.redrive([{ group: 'coupon', id: ids[0]! }], note), 1)
      assert.deepEqual(await t.store.deadLetters({}), [])
      const [due] = await t.store.due(lease, t.now, 10)
      assert.deepEqual(
        { id: due?.id, attempts: due?.attempts, body: due?.body, key: due?.key },
        { id: ids[0], attempts: 0, body: '{"n":1}', key: 'order-1' },
      )
      assert.deepEqual(await t.run(lease, [due!], 'retrying'), ids)
      assert.deepEqual(await t.effects(), [`coupon:${ids[0]}`])
    },
  },
  {
    name: 'redrive is idempotent: it counts what it changed, and each message runs once',
    async run(t) {
      const { lease, ids } = await died(t, 2, 0)
      const keys = ids.map((id) => ({ group: 'coupon', id }))
      assert.equal(await t.store.redrive([...keys, keys[0]!], note), 2)
      assert.equal(await t.store.redrive(keys, note), 0)
      for (const message of await t.store.due(lease, t.now, 10)) await t.run(lease, [message], 'retrying')
      assert.equal(await t.store.redrive(keys, note), 0)
      assert.deepEqual(await t.dueIds(lease), [])
      assert.equal((await t.effects()).length, 2)
    },
  },
  {
    name: 'redrive and discard ignore what is no dead letter',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [waiting, done] = await t.publish({}, {})
      await t.run(lease, [(await t.read(lease))[1]!])
      const keys = [waiting!, done!, t.subject.ports.ids.message()].map((id) => ({ group: 'coupon', id }))
      assert.equal(await t.store.redrive(keys, note), 0)
      assert.equal(await t.store.discardDead(keys, note), 0)
      assert.deepEqual(await t.statesOf(lease, [waiting!, done!]), [null, 'done'])
      assert.equal(await t.store.redrive([], note), 0)
    },
  },
  {
    name: 'redrive of one group leaves the same message dead in another',
    async run(t) {
      const { ids } = await died(t, 1, 0)
      const logistics = await t.groupWithLease('logistics')
      await t.bury(logistics, (await t.read(logistics))[0]!)
      await t.store.redrive([{ group: 'coupon', id: ids[0]! }], note)
      assert.deepEqual(
        (await t.store.deadLetters({})).map(({ group }) => group),
        ['logistics'],
      )
    },
  },
  {
    name: 'a message that dies again counts its redrives',
    async run(t) {
      const { lease, ids } = await died(t, 1, 0)
      for (const generation of [1, 2]) {
        await t.store.redrive([{ group: 'coupon', id: ids[0]! }], note)
        const [due] = await t.store.due(lease, t.now, 10)
        await t.bury(lease, due!, `again ${generation}`)
        const [dead] = await t.store.deadLetters({})
        assert.deepEqual(
          { generation: dead?.generation, because: dead?.because, attempts: dead?.attempts },
          { generation, because: `again ${generation}`, attempts: 1 },
        )
      }
    },
  },
  {
    name: 'a dead letter can be redriven after its log row is purged',
    missing: needsTimeTravel,
    async run(t) {
      const { lease, ids } = await died(t, 1, 60_000)
      assert.equal(await t.store.purge(t.now), 1)
      assert.equal(await t.store.redrive([{ group: 'coupon', id: ids[0]! }], note), 1)
      const [due] = await t.store.due(lease, t.now, 10)
      assert.equal(due?.body, '{"paid":1}')
      assert.deepEqual(await t.run(lease, [due!], 'retrying'), ids)
    },
  },
  {
    name: 'a dead letter that is given up is discarded for good, with the reason',
    async run(t) {
      const { lease, ids } = await died(t, 1, 0)
      const key = { group: 'coupon', id: ids[0]! }
      assert.equal(await t.store.discardDead([key, key], note), 1)
      assert.equal(await t.store.discardDead([key], note), 0)
      assert.equal(await t.store.redrive([key], note), 0)
      assert.deepEqual(await t.store.deadLetters({}), [])
      assert.deepEqual(await t.statesOf(lease, ids), ['discarded'])
      const [found] = await t.store.search({ id: ids[0]! })
      assert.deepEqual(
        { state: found?.groups[0]?.state, because: found?.groups[0]?.because },
        { state: 'discarded', because: 'the bank is back' },
      )
    },
  },
  {
    name: 'a redrive that another process asks for is seen by the reader',
    async run(t) {
      const { lease, ids } = await died(t, 1, 0)
      const { store } = await t.another()
      assert.equal((await store.deadLetters({})).length, 1)
      await store.redrive([{ group: 'coupon', id: ids[0]! }], note)
      assert.deepEqual(await t.dueIds(lease), ids)
    },
  },
]

/** Messages that died one after the other, `apartMs` apart, with the cursor past them. */
async function died(t: StoreBench, count: number, apartMs = 1_000, draft = {}) {
  const lease = await t.groupWithLease('coupon')
  const ids = await t.publishMany(count, draft)
  const diedAt: number[] = []
  for (const message of await t.read(lease)) {
    if (apartMs > 0) await t.advance(apartMs)
    diedAt.push(t.now)
    await t.settle(
      lease,
      message,
      { state: 'dead', cause: 'handler.retries-exhausted', because: 'no answer' },
      message.position,
    )
  }
  return { lease, ids, diedAt }
}
