import assert from 'node:assert/strict'
import type { RecordedPosition } from '../../core/epochs.ts'
import type { LandedAs } from '../../core/store.ts'
import { type Draft, type StoreBench, type StorePromise, rejectsWith } from '../store-bench.ts'

const source = 'database:elsewhere'

/** P12, P13: which history of a log a position belongs to, and that no landing builds on what is not there. */
export const epochs: readonly StorePromise[] = [
  {
    name: 'P12: the first epoch of a cursor is the same for whoever holds its lease',
    async run(t) {
      await t.group('coupon')
      const owner = t.owner()
      const lease = await t.lease('coupon', owner)
      const epoch = await t.store.epochs.of(lease)
      assert.equal(epoch.previous, null)
      await t.store.release([lease])
      await t.store.leave(owner)
      const next = await t.lease('coupon')
      assert.deepEqual(await (await t.another()).store.epochs.of(next), epoch)
    },
  },
  {
    name: 'P12: a new epoch begins where the cursor is, knows the one before, and is another one each time',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(5)
      const messages = await t.read(lease)
      const first = await t.store.epochs.of(lease)
      await t.store.advance(lease, messages[1]!.position)
      const second = await t.store.epochs.begin(lease, 'put back')
      assert.equal(second.previous, first.epoch)
      assert.equal(second.began, messages[1]!.position)
      await t.store.advance(lease, messages[3]!.position)
      assert.deepEqual(await t.store.epochs.of(lease), second)
      const third = await t.store.epochs.begin(lease)
      assert.equal(third.previous, second.epoch)
      assert.equal(third.began, messages[3]!.position)
      assert.equal(new Set([first.epoch, second.epoch, third.epoch]).size, 3)
      assert.equal(await t.cursor('coupon'), messages[3]!.position)
    },
  },
  {
    name: 'P12: an epoch is of one cursor: those of other readers stand',
    async run(t) {
      const coupon = await t.groupWithLease('coupon')
      const mail = await t.groupWithLease('mail')
      const before = await t.store.epochs.of(mail)
      await t.store.epochs.begin(coupon)
      assert.deepEqual(await t.store.epochs.of(mail), before)
    },
  },
  {
    name: 'P13: a position that builds on nothing is set, whatever was recorded; one that continues grows',
    async run(t) {
      await land(t, 5, { epoch: 'a' })
      assert.deepEqual(await recorded(t), { position: 5, epoch: 'a' })
      await land(t, 8, { epoch: 'a', after: 5 })
      assert.deepEqual(await recorded(t), { position: 8, epoch: 'a' })
      await land(t, 7, { epoch: 'a', after: 3 })
      assert.deepEqual(await recorded(t), { position: 8, epoch: 'a' })
      await land(t, 3, { epoch: 'b' })
      assert.deepEqual(await recorded(t), { position: 3, epoch: 'b' })
    },
  },
  {
    name: 'P13: what builds on a position that is not recorded does not land, and changes nothing',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await rejectsWith('store.landing-gap', () => land(t, 3, { epoch: 'a', after: 0 }, [{}]))
      assert.equal(await recorded(t), undefined)
      await land(t, 5, { epoch: 'a' })
      await rejectsWith('store.landing-gap', () => land(t, 9, { epoch: 'a', after: 6 }, [{}]))
      await rejectsWith('store.landing-gap', () => land(t, 9, { epoch: 'b', after: 5 }, [{}]))
      assert.deepEqual(await recorded(t), { position: 5, epoch: 'a' })
      assert.deepEqual(await t.read(lease), [])
    },
  },
  {
    name: 'P13: a source without epochs is recorded without one',
    async run(t) {
      await land(t, 5, {})
      assert.deepEqual(await recorded(t), { position: 5, epoch: null })
    },
  },
]

function land(
  t: StoreBench,
  position: number,
  of: { readonly epoch?: string; readonly after?: number },
  drafts: readonly Draft[] = [],
): Promise<readonly LandedAs[]> {
  const upTo = [{ source, topic: 'order.paid', queue: 0, position, ...of }]
  return t.store.land({ ...t.landing(drafts, source), upTo })
}

function recorded(t: StoreBench): Promise<RecordedPosition | undefined> {
  return t.store.landedUpTo(source, 'order.paid', 0)
}
