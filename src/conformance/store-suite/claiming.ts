import assert from 'node:assert/strict'
import { type StoreBench, type StorePromise, idsOf, rejectsWith } from '../store-bench.ts'

/** P3 and P7: one disposition per (group, message), claimed before the handler and committed with its effect. */
export const claiming: readonly StorePromise[] = [
  {
    name: 'P3: a receipt commits with the effect',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const messages = await t.read(lease)
      assert.deepEqual(await t.run(lease, messages), [id])
      assert.deepEqual(await t.effects(), [`coupon:${id}`])
      assert.deepEqual(await t.statesOf(lease, [id!]), ['done'])
    },
  },
  {
    name: 'P3: what has a receipt is not claimed again',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(3)
      const messages = await t.read(lease)
      assert.deepEqual(await t.run(lease, messages), idsOf(messages))
      assert.deepEqual(await t.run(lease, messages), [])
      assert.equal((await t.effects()).length, 3)
    },
  },
  {
    name: 'P3: a claim answers only the ids that were free',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(4)
      const messages = await t.read(lease)
      await t.run(lease, [messages[1]!])
      await t.settle(lease, messages[2]!, { state: 'filtered', attempts: 0 })
      assert.deepEqual((await t.run(lease, messages)).toSorted(), [messages[0]!.id, messages[3]!.id])
    },
  },
  {
    name: 'P3: of runs that overlap each message is claimed in one',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(10)
      const messages = await t.read(lease)
      const ids = idsOf(messages)
      assert.deepEqual(await t.run(lease, messages.slice(1, 6)), ids.slice(1, 6))
      assert.deepEqual((await t.run(lease, messages.slice(3, 9))).toSorted(), ids.slice(6, 9))
      assert.deepEqual((await t.run(lease, messages)).toSorted(), [ids[0], ids[9]])
      assert.deepEqual(await t.run(lease, messages), [])
      assert.equal(new Set(await t.effects()).size, 10)
      assert.equal((await t.effects()).length, 10)
    },
  },
  {
    name: 'P3: what was claimed in a run is done for each of its messages, whatever looks at it',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids = await t.publishMany(5)
      const messages = await t.read(lease)
      await t.run(lease, messages.slice(0, 4))
      const states = (await t.read(lease)).map(({ disposition }) => disposition)
      assert.deepEqual(states, ['done', 'done', 'done', 'done', null])
      assert.deepEqual(
        (await t.read(lease, 2)).map(({ disposition }) => disposition),
        ['done', 'done', null],
      )
      await t.settle(lease, messages[1]!, { state: 'dead' })
      assert.equal(await t.store.markRunning(lease, messages[2]!, true), 0)
      assert.deepEqual(await t.statesOf(lease, ids), ['done', 'done', 'done', 'done', null])
      assert.deepEqual(await t.store.deadLetters({}), [])
      assert.deepEqual(idsOf(await t.store.search({ state: 'done' })).toSorted(), ids.slice(0, 4).toSorted())
      assert.deepEqual(idsOf(await t.store.search({ state: 'waiting' })), ids.slice(4))
    },
  },
  {
    name: 'P3: one of a run can still be discarded in the transaction that claimed it',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids = await t.publishMany(3)
      const messages = await t.read(lease)
      await t.transaction(async (tx) => {
        await t.store.claim(tx, lease, messages, 'unclaimed')
        await t.store.markDiscarded(tx, lease, ids[1]!, 'not wanted')
      })
      assert.deepEqual(await t.statesOf(lease, ids), ['done', 'discarded', 'done'])
      assert.deepEqual(await t.run(lease, messages), [])
    },
  },
  {
    name: 'P3: a batch with the same id twice claims it once',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(2)
      const [first, second] = await t.read(lease)
      assert.deepEqual((await t.run(lease, [first!, second!, first!])).toSorted(), [first!.id, second!.id])
      assert.equal((await t.effects()).length, 2)
    },
  },
  {
    name: 'P3: a claim that is rolled back leaves its messages free',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const messages = await t.read(lease)
      const failed = t.transaction(async (tx) => {
        await t.store.claim(tx, lease, messages, 'unclaimed')
        await t.subject.effects.add(tx, 'torn')
        throw new Error('the handler failed')
      })
      await assert.rejects(failed, /the handler failed/)
      assert.deepEqual(await t.statesOf(lease, [id!]), [null])
      assert.deepEqual(await t.run(lease, messages), [id])
      assert.deepEqual(await t.effects(), [`coupon:${id}`])
    },
  },
  {
    name: 'P3: each group claims for itself',
    async run(t) {
      const coupon = await t.groupWithLease('coupon')
      const logistics = await t.groupWithLease('logistics')
      const [id] = await t.publish({})
      assert.deepEqual(await t.run(coupon, await t.read(coupon)), [id])
      assert.deepEqual(await t.run(logistics, await t.read(logistics)), [id])
    },
  },
  {
    name: 'a claim of nothing answers nothing',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      assert.deepEqual(await t.run(lease, []), [])
    },
  },
  {
    name: 'a retried message is claimed from retrying, and its receipt is final',
    async run(t) {
      const { lease, message } = await retrying(t)
      assert.deepEqual(await t.run(lease, [message], 'retrying'), [message.id])
      assert.deepEqual(await t.statesOf(lease, [message.id]), ['done'])
      assert.deepEqual(await t.dueIds(lease), [])
      assert.equal(await t.dueAt(lease), undefined)
      assert.deepEqual(await t.run(lease, [message], 'retrying'), [])
    },
  },
  {
    name: 'a retried message is not claimed as if it had never been seen',
    async run(t) {
      const { lease, message } = await retrying(t)
      assert.deepEqual(await t.run(lease, [message], 'unclaimed'), [])
      assert.deepEqual(await t.run(lease, [message], 'running'), [])
      assert.deepEqual(await t.dueIds(lease), [message.id])
    },
  },
  {
    name: 'a claim that did not get a message leaves the copy that its redrive needs',
    async run(t) {
      const { lease, message } = await retrying(t)
      await t.bury(lease, message)
      assert.deepEqual(await t.run(lease, [message], 'retrying'), [])
      assert.equal(
        await t.store.redrive([{ group: 'coupon', id: message.id }], { by: 'ops', because: 'fixed' }),
        1,
      )
      assert.deepEqual(await t.dueIds(lease), [message.id])
    },
  },
  {
    name: 'a claim of a retried message that is rolled back leaves it due with its attempts',
    async run(t) {
      const { lease, message } = await retrying(t)
      const failed = t.transaction(async (tx) => {
        await t.store.claim(tx, lease, [message], 'retrying')
        throw new Error('the handler failed')
      })
      await assert.rejects(failed)
      const [due] = await t.store.due(lease, t.now, 10)
      assert.equal(due?.id, message.id)
      assert.equal(due.attempts, 1)
      assert.equal(due.body, message.body)
    },
  },
  {
    name: 'P17: a marked suspect is claimed from running',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publish({})
      const [message] = await t.read(lease)
      await t.store.markRunning(lease, message!, true)
      assert.deepEqual(await t.run(lease, [message!], 'unclaimed'), [])
      assert.deepEqual(await t.run(lease, [message!], 'running'), [message!.id])
      assert.deepEqual(await t.statesOf(lease, [message!.id]), ['done'])
    },
  },
  {
    name: 'P7: a receipt just claimed can be turned into discarded, with the reason, and commits with the effects',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const messages = await t.read(lease)
      await t.transaction(async (tx) => {
        await t.store.claim(tx, lease, messages, 'unclaimed')
        await t.subject.effects.add(tx, 'noted')
        await t.store.markDiscarded(tx, lease, id!, 'not ours')
      })
      assert.deepEqual(await t.statesOf(lease, [id!]), ['discarded'])
      assert.deepEqual(await t.effects(), ['noted'])
      const [found] = await t.store.search({ id: id! })
      assert.equal(found?.groups[0]?.because, 'not ours')
      assert.deepEqual(await t.run(lease, messages), [])
    },
  },
  {
    name: 'the cursor moves with the effect, and not without it',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(2)
      const [first, second] = await t.read(lease)
      const failed = t.transaction(async (tx) => {
        await t.store.claim(tx, lease, [first!], 'unclaimed')
        await t.store.advanceIn(tx, lease, first!.position)
        throw new Error('the handler failed')
      })
      await assert.rejects(failed)
      assert.equal(await t.cursor('coupon'), lease.position)
      await t.transaction(async (tx) => {
        await t.store.claim(tx, lease, [first!, second!], 'unclaimed')
        await t.store.advanceIn(tx, lease, second!.position)
      })
      assert.equal(await t.cursor('coupon'), second!.position)
    },
  },
  {
    name: 'P16: a claim under a stale fence is refused, and its whole transaction comes to nothing',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const messages = await t.read(lease)
      const { stale, current } = await t.zombie(lease)
      await rejectsWith('store.lease-lost', () => t.run(stale, messages))
      assert.deepEqual(await t.statesOf(current, [id!]), [null])
      assert.deepEqual(await t.effects(), [])
      assert.deepEqual(await t.run(current, messages), [id])
    },
  },
  {
    name: 'P16: a claim of nothing is refused under a stale fence too',
    async run(t) {
      const { stale } = await t.zombie(await t.groupWithLease('coupon'))
      await rejectsWith('store.lease-lost', () => t.run(stale, []))
    },
  },
]

async function retrying(t: StoreBench) {
  const lease = await t.groupWithLease('coupon')
  await t.publish({ body: '{"retried":true}' })
  const [message] = await t.read(lease)
  await t.settle(
    lease,
    message!,
    { state: 'retrying', dueAt: t.now, cause: 'handler.failed' },
    message!.position,
  )
  return { lease, message: message! }
}
