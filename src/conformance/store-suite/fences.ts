import { chain } from '../../core/maybe-promise.ts'
import assert from 'node:assert/strict'
import type { LoggedMessage } from '../../core/message.ts'
import type { Lease } from '../../core/store.ts'
import { type StoreBench, type StorePromise, needsTimeTravel, rejectsWith } from '../store-bench.ts'

/** What a zombie tries: each write that takes a lease. */
const writes: readonly {
  readonly name: string
  readonly attempt: (t: StoreBench, stale: Lease, message: LoggedMessage) => Promise<unknown>
}[] = [
  { name: 'advance', attempt: (t, stale, message) => t.store.advance(stale, message.position) },
  {
    name: 'advance with what a relay sent',
    attempt: (t, stale, message) =>
      t.store.advance(stale, message.position, { transport: 'database', from: 1, count: 1, proof: 'sent' }),
  },
  {
    name: 'advanceIn',
    attempt: (t, stale, message) => inTransaction(t, (tx) => t.store.advanceIn(tx, stale, message.position)),
  },
  {
    name: 'claim',
    attempt: (t, stale, message) =>
      inTransaction(t, (tx) => t.store.claim(tx, stale, [message], 'unclaimed')),
  },
  {
    name: 'claim of several',
    attempt: (t, stale, message) =>
      inTransaction(t, (tx) => t.store.claim(tx, stale, [message, message], 'unclaimed')),
  },
  {
    name: 'markDiscarded',
    attempt: (t, stale, message) =>
      inTransaction(t, (tx) => t.store.markDiscarded(tx, stale, message.id, 'late')),
  },
  {
    name: 'releaseFollower',
    attempt: (t, stale) => inTransaction(t, (tx) => t.store.releaseFollower(tx, stale, 'u1')),
  },
  {
    name: 'settle',
    attempt: (t, stale, message) =>
      t.settle(stale, message, { state: 'dead', cause: 'handler.failed' }, message.position),
  },
  { name: 'settle of nothing', attempt: (t, stale, message) => t.store.settle(stale, [], message.position) },
  { name: 'markRunning', attempt: (t, stale, message) => t.store.markRunning(stale, message, true) },
  { name: 'excuse', attempt: (t, stale, message) => t.store.excuse(stale, message.id) },
  { name: 'a new epoch', attempt: (t, stale) => t.store.epochs.begin(stale) },
  { name: 'excuse', attempt: (t, stale, message) => t.store.excuse(stale, message.id) },
]

/** P16: safety comes from fences. A paused process that wakes up after a take-over changes nothing, whatever it tries. */
export const fences: readonly StorePromise[] = [
  ...writes.map(({ name, attempt }): StorePromise => ({
    name: `P16: ${name} under a stale fence is refused and changes nothing`,
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('orders', { ordered: true })
      await t.publish({ shardingKey: 'u1' }, { shardingKey: 'u1' }, { shardingKey: 'u2' })
      const [head, follower, fresh] = await t.read(lease)
      await t.settle(lease, head!, { state: 'retrying', dueAt: t.now + 1e6 }, follower!.position)
      await t.settle(lease, follower!, { state: 'held' })
      const { stale, current } = await t.zombie(lease)
      const before = await everything(t, current)
      const refusal = await rejectsWith('store.lease-lost', () => attempt(t, stale, fresh!))
      assert.equal(refusal.facts['fence'], stale.fence)
      assert.deepEqual(await everything(t, current), before)
    },
  })),
  {
    name: 'P16: the same owner’s older fence is as stale as another’s',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.store.release([lease])
      const again = await t.lease('coupon', lease.owner)
      await rejectsWith('store.lease-lost', () => t.store.advance(lease, 1))
      await t.store.advance(again, 1)
    },
  },
  {
    name: 'P16: a fence of one queue opens no other',
    async run(t) {
      await t.topic({ name: 'order.wide', queues: 2 })
      await t.group('coupon', { topics: [{ name: 'order.wide', queues: 2 }] })
      const { leases } = await t.share(t.owner(), 'coupon')
      await t.store.release([leases[1]!])
      await rejectsWith('store.lease-lost', () => t.store.advance({ ...leases[0]!, queue: 1 }, 1))
      await t.store.advance(leases[0]!, 1)
    },
  },
  {
    name: 'P16: a transaction that met a stale fence cannot commit the rest of its writes, even if the error is swallowed',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publish({})
      const messages = await t.read(lease)
      const { stale } = await t.zombie(lease)
      const swallowing = t.database.transaction({
        opened: (tx) => chain(t.store.claim(tx, stale, messages, 'unclaimed'), () => {}),
        work: async (tx) => {
          try {
            await t.subject.effects.add(tx, 'zombie')
          } catch {
            // As user code does that catches everything.
          }
        },
      })
      await assert.rejects(swallowing)
      assert.deepEqual(await t.effects(), [])
    },
  },
  {
    name: 'P12: time that passes fences nobody, however much of it: only another run of the server does',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      for (let position = 0; position < 10; position++) {
        await t.advance(5_000_000)
        const [id] = await t.publish({})
        const next = await t.read(lease, position)
        assert.deepEqual(await t.run(lease, next), [id])
      }
    },
  },
]

function inTransaction(t: StoreBench, work: (tx: unknown) => unknown): Promise<unknown> {
  return t.transaction(async (tx) => {
    await t.subject.effects.add(tx, 'zombie')
    await work(tx)
  })
}

/** All that a group's reader can change, as it shows from outside. */
async function everything(t: StoreBench, lease: Lease): Promise<unknown> {
  const read = await t.store.read(lease, 0, 100)
  const due = await t.store.due(lease, t.now + 1e9, 100)
  return {
    read,
    due,
    lag: await t.store.lag(),
    dead: await t.store.deadLetters({}),
    found: await t.store.search({}),
    effects: await t.effects(),
  }
}
