import assert from 'node:assert/strict'
import type { Settlement } from '../../core/store.ts'
import { type StorePromise, idsOf } from '../store-bench.ts'

/** P2: the cursor passes a message only once what becomes of it is durable. */
export const settling: readonly StorePromise[] = [
  {
    name: 'P2: a settlement and the cursor move in one transaction',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(2)
      const [first, second] = await t.read(lease)
      await t.store.settle(
        lease,
        [
          {
            message: first!,
            state: 'retrying',
            attempts: 1,
            dueAt: t.now + 60_000,
            cause: 'handler.failed',
            because: 'no answer',
          },
        ],
        second!.position,
      )
      assert.equal(await t.cursor('coupon'), second!.position)
      assert.deepEqual(await t.statesOf(lease, [first!.id, second!.id]), ['retrying', null])
    },
  },
  {
    name: 'P2: a retrying message is kept whole, whatever becomes of the log',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({
        body: '{"n":1}',
        key: 'order-42',
        tag: 'vip',
        shardingKey: 'u1',
        headers: { traceparent: '00-1' },
      })
      const [message] = await t.read(lease)
      await t.settle(
        lease,
        message!,
        {
          state: 'retrying',
          attempts: 3,
          dueAt: t.now + 60_000,
          cause: 'handler.failed',
          because: 'no answer',
        },
        message!.position,
      )
      await t.advance(120_000)
      await t.store.purge(t.now)
      assert.deepEqual(await t.read(lease, 0), [])
      const { disposition: _d, blocked: _b, ...logged } = message!
      assert.deepEqual(await t.store.due(lease, t.now, 10), [
        { ...logged, disposition: 'retrying', attempts: 3, dueAt: message!.publishedAt + 60_000 },
      ])
      assert.deepEqual(await t.run(lease, [message!], 'retrying'), [id])
    },
  },
  {
    name: 'a retrying message is due at its time, and not before',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const [message] = await t.read(lease)
      const dueAt = t.now + 10_000
      await t.settle(lease, message!, { state: 'retrying', dueAt }, message!.position)
      assert.deepEqual(await t.dueIds(lease, dueAt - 1), [])
      assert.deepEqual(await t.dueIds(lease, dueAt), [id])
      assert.equal(await t.dueAt(lease), dueAt)
    },
  },
  {
    name: 'the oldest due comes first, ties in the order of the log, and the limit holds',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(4)
      const [a, b, c, d] = await t.read(lease)
      const again = (message: typeof a, dueAt: number): Settlement => ({
        message: message!,
        state: 'retrying',
        attempts: 1,
        dueAt,
      })
      await t.store.settle(
        lease,
        [again(d, t.now + 5), again(c, t.now + 20), again(b, t.now + 5), again(a, t.now + 30)],
        d!.position,
      )
      assert.deepEqual(await t.dueIds(lease, t.now + 30), [b!.id, d!.id, c!.id, a!.id])
      assert.deepEqual(idsOf(await t.store.due(lease, t.now + 30, 2)), [b!.id, d!.id])
      assert.equal(await t.dueAt(lease), t.now + 5)
    },
  },
  {
    name: 'due messages of one group and queue are not shown to another',
    async run(t) {
      const coupon = await t.groupWithLease('coupon')
      const logistics = await t.groupWithLease('logistics')
      await t.publish({})
      const [message] = await t.read(coupon)
      await t.settle(coupon, message!, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(await t.dueIds(logistics), [])
      assert.equal(await t.dueAt(logistics), undefined)
    },
  },
  {
    name: 'a message that fails again is due again, with the new count',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publish({})
      const [message] = await t.read(lease)
      await t.settle(lease, message!, { state: 'retrying', attempts: 1, dueAt: t.now }, message!.position)
      await t.settle(lease, message!, { state: 'retrying', attempts: 2, dueAt: t.now + 30_000 })
      assert.deepEqual(await t.dueIds(lease), [])
      const [due] = await t.store.due(lease, t.now + 30_000, 10)
      assert.equal(due?.attempts, 2)
    },
  },
  {
    name: 'a dead message is a dead letter with its cause, reason and attempts, and is due no more',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({ key: 'order-42', tag: 'vip', shardingKey: 'u1' })
      const [message] = await t.read(lease)
      await t.settle(lease, message!, { state: 'retrying', attempts: 1, dueAt: t.now }, message!.position)
      await t.advance(1_000)
      await t.settle(lease, message!, {
        state: 'dead',
        attempts: 2,
        cause: 'handler.retries-exhausted',
        because: 'the bank said no',
      })
      assert.deepEqual(await t.dueIds(lease, t.now + 1e9), [])
      assert.deepEqual(await t.store.deadLetters({}), [
        {
          group: 'coupon',
          id,
          topic: 'order.paid',
          tag: 'vip',
          key: 'order-42',
          shardingKey: 'u1',
          cause: 'handler.retries-exhausted',
          because: 'the bank said no',
          dependency: null,
          attempts: 2,
          generation: 0,
          publishedAt: message!.publishedAt,
          diedAt: t.now,
        },
      ])
    },
  },
  {
    name: 'filtered and discarded messages get their disposition without an effect',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids = await t.publishMany(2)
      const [first, second] = await t.read(lease)
      await t.store.settle(
        lease,
        [
          { message: first!, state: 'filtered', attempts: 0 },
          { message: second!, state: 'discarded', attempts: 1, because: 'obsolete' },
        ],
        second!.position,
      )
      assert.deepEqual(await t.statesOf(lease, ids), ['filtered', 'discarded'])
      assert.deepEqual(await t.run(lease, [first!, second!]), [])
    },
  },
  {
    name: 'P3: done stands, whatever is settled later',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const [id] = await t.publish({})
      const [message] = await t.read(lease)
      await t.run(lease, [message!])
      for (const state of ['retrying', 'held', 'dead', 'discarded', 'filtered'] as const) {
        await t.settle(lease, message!, { state, dueAt: t.now })
        assert.deepEqual(await t.statesOf(lease, [id!]), ['done'], state)
      }
      assert.deepEqual(await t.store.deadLetters({}), [])
      assert.deepEqual(await t.dueIds(lease), [])
    },
  },
  {
    name: 'P3: dead, discarded and filtered stand against a settlement that comes late',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(3)
      const messages = await t.read(lease)
      const states = ['dead', 'discarded', 'filtered'] as const
      for (const [i, state] of states.entries()) await t.settle(lease, messages[i]!, { state })
      for (const message of messages) await t.settle(lease, message, { state: 'retrying', dueAt: t.now })
      assert.deepEqual(await t.statesOf(lease, idsOf(messages)), [...states])
      assert.deepEqual(await t.dueIds(lease), [])
    },
  },
  {
    name: 'dispositions answer only for the lease’s group, and only what is there',
    async run(t) {
      const coupon = await t.groupWithLease('coupon')
      const logistics = await t.groupWithLease('logistics')
      const ids = await t.publishMany(2)
      await t.run(coupon, [(await t.read(coupon))[0]!])
      assert.deepEqual([...(await t.store.dispositions(coupon, ids))], [[ids[0], 'done']])
      assert.equal((await t.store.dispositions(logistics, ids)).size, 0)
      assert.equal((await t.store.dispositions(coupon, [])).size, 0)
    },
  },
  {
    name: 'settling nothing with a position moves the cursor only',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publish({})
      const [message] = await t.read(lease)
      await t.store.settle(lease, [], message!.position)
      assert.equal(await t.cursor('coupon'), message!.position)
    },
  },
  {
    name: 'many settlements at once are all kept',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(250)
      const messages = await t.read(lease)
      await t.store.settle(
        lease,
        messages.map((message) => ({ message, state: 'retrying', attempts: 1, dueAt: t.now })),
        messages.at(-1)!.position,
      )
      assert.deepEqual(await t.dueIds(lease), idsOf(messages))
    },
  },
]
