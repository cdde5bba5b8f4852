import assert from 'node:assert/strict'
import type { MessageId } from '../../core/ids.ts'
import { type StorePromise, needsTimeTravel } from '../store-bench.ts'
import { died, generations, itemsOf, note, start, stepAll } from './redrive-scenes.ts'

/** In what order and at what pace redrives go on, and what becomes of each letter. */
export const redriveSteps: readonly StorePromise[] = [
  {
    name: 'a step does nothing and has nothing to come back for where no redrive is running',
    async run(t) {
      await died(t, 1)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 0, nextInMs: undefined })
      await start(t, { id: 'paused' })
      await t.store.redrives.change('paused', 'paused', note)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 0, nextInMs: undefined })
    },
  },
  {
    name: 'without a rate a redrive goes on at once, in portions that leave room for others',
    async run(t) {
      await died(t, 250)
      await start(t, { id: 'job' })
      const steps: number[] = []
      for (let more = true; more;) {
        const { redriven, nextInMs } = await t.store.redrives.step()
        steps.push(redriven)
        more = nextInMs !== undefined
        if (more) assert.equal(nextInMs, 0)
      }
      assert.equal(
        steps.reduce((sum, n) => sum + n, 0),
        250,
      )
      assert.ok(Math.max(...steps) <= 100)
    },
  },
  {
    name: 'no second gets more than the rate, whoever steps and however often',
    missing: needsTimeTravel,
    async run(t) {
      await died(t, 30)
      const stores = [t.store, (await t.another()).store]
      await start(t, { id: 'job', perSecond: 10 })
      const at: number[] = []
      for (let ms = 0; ms < 2_990; ms += 10) {
        for (const store of stores)
          for (let n = (await store.redrives.step()).redriven; n > 0; n--) at.push(t.now)
        await t.advance(10)
      }
      assert.equal(at.length, 30)
      for (const from of at) assert.ok(at.filter((one) => one >= from && one < from + 1_000).length <= 10)
    },
  },
  {
    name: 'a rate is kept in bigger portions where it is high, and says when to come again',
    missing: needsTimeTravel,
    async run(t) {
      await died(t, 150)
      await start(t, { id: 'job', perSecond: 500 })
      assert.deepEqual(await t.store.redrives.step(), { redriven: 50, nextInMs: 100 })
      assert.deepEqual(await t.store.redrives.step(), { redriven: 0, nextInMs: 100 })
      await t.advance(40)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 0, nextInMs: 60 })
      await t.advance(60)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 50, nextInMs: 100 })
    },
  },
  {
    name: 'what is late is not made up for: nobody ran, and then it goes on at the rate',
    missing: needsTimeTravel,
    async run(t) {
      await died(t, 5)
      await start(t, { id: 'job', perSecond: 1 })
      assert.deepEqual(await t.store.redrives.step(), { redriven: 1, nextInMs: 1_000 })
      await t.advance(60_000)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 1, nextInMs: 1_000 })
      await t.store.redrives.change('job', 'paused', note)
      await t.store.redrives.change('job', 'running', note)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 0, nextInMs: 1_000 })
    },
  },
  {
    name: 'several redrives go on side by side, each at its rate',
    missing: needsTimeTravel,
    async run(t) {
      const { ids } = await died(t, 6)
      const half = (from: number) => ids.slice(from, from + 3).map((id) => ({ group: 'coupon', id }))
      await start(t, { id: 'a', perSecond: 1, selection: half(0) })
      await start(t, { id: 'b', perSecond: 2, selection: half(3) })
      assert.deepEqual(await t.store.redrives.step(), { redriven: 2, nextInMs: 500 })
      await t.advance(500)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 1, nextInMs: 500 })
      await t.advance(500)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 2, nextInMs: 1_000 })
    },
  },
  {
    name: 'oldest first is the order of publishing, whenever they died; newest first is the other way round',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids = await t.publishMany(4)
      const messages = await t.read(lease)
      for (const n of [2, 0, 3, 1]) {
        await t.advance(1)
        await t.bury(lease, messages[n]!)
      }
      await start(t, { id: 'oldest' })
      await start(t, { id: 'newest', order: 'newest-first' })
      assert.deepEqual(await itemsOf(t, 'oldest'), ids)
      assert.deepEqual(await itemsOf(t, 'newest'), ids.toReversed())
    },
  },
  ...(['hold', 'skip'] as const).map((onFailure): StorePromise => ({
    name: `P21: newest first keeps the order of each key in an ordered group, ${onFailure}`,
    missing: needsTimeTravel,
    async run(t) {
      const keys = ['a', 'b', 'a', 'b', 'a']
      const drafts = keys.map((shardingKey) => ({ shardingKey }))
      const { lease, ids } = await died(t, drafts, { ordered: true, onFailure })
      await start(t, { id: 'job', order: 'newest-first', perSecond: 1 })
      assert.deepEqual(await itemsOf(t, 'job'), [ids[0], ids[1], ids[2], ids[3], ids[4]])
      const handled: MessageId[] = []
      for (let second = 0; second < 5; second++) {
        await t.store.redrives.step()
        for (const message of await t.store.due(lease, t.now, 10))
          handled.push(...(await t.runRetried(lease, message)))
        await t.advance(1_000)
      }
      assert.deepEqual(handled, ids)
    },
  })),
  {
    name: 'P21: of one key the first is due and the others are held behind it, though they come at a rate',
    missing: needsTimeTravel,
    async run(t) {
      const drafts = Array.from({ length: 3 }, () => ({ shardingKey: 'a' }))
      const { lease, ids } = await died(t, drafts, { ordered: true })
      await start(t, { id: 'job', perSecond: 1 })
      for (const states of [
        ['retrying', 'dead', 'dead'],
        ['retrying', 'held', 'dead'],
        ['retrying', 'held', 'held'],
      ]) {
        await t.store.redrives.step()
        assert.deepEqual(await t.statesOf(lease, ids), states)
        await t.advance(1_000)
      }
      const handled: MessageId[] = []
      for (
        let due = await t.store.due(lease, t.now, 10);
        due.length > 0;
        due = await t.store.due(lease, t.now, 10)
      )
        handled.push(...(await t.runRetried(lease, due[0]!)))
      assert.deepEqual(handled, ids)
    },
  },
  {
    name: 'two redrives over the same letters: each is redriven once, and the other says that it was gone',
    async run(t) {
      const { lease, ids } = await died(t, 3)
      await start(t, { id: 'first' })
      await start(t, { id: 'second' })
      const { store } = await t.another()
      assert.equal((await stepAll(t, t.store, store)).redriven, 3)
      const jobs = await t.store.redrives.list({})
      assert.deepEqual(jobs.map(({ state, redriven, gone }) => [state, redriven, gone]).toSorted(), [
        ['done', 0, 3],
        ['done', 3, 0],
      ])
      assert.deepEqual((await t.dueIds(lease)).toSorted(), ids.toSorted())
      assert.equal((await generations(t, lease)).join(), '1,1,1')
    },
  },
  {
    name: 'what was redriven and has died anew when its turn comes is gone, as is what was discarded',
    async run(t) {
      const { lease, ids } = await died(t, 3)
      await start(t, { id: 'job' })
      await t.store.redrive([{ group: 'coupon', id: ids[0]! }], note)
      await t.bury(lease, (await t.store.due(lease, t.now, 1))[0]!, 'again')
      await t.store.discardDead([{ group: 'coupon', id: ids[1]! }], note)
      await stepAll(t)
      const { items = [], redriven, gone } = (await t.store.redrives.show('job'))!
      assert.deepEqual(
        items.map(({ outcome }) => outcome),
        ['gone', 'gone', 'redriven'],
      )
      assert.deepEqual({ redriven, gone }, { redriven: 1, gone: 2 })
      assert.deepEqual(await t.statesOf(lease, ids), ['dead', 'discarded', 'retrying'])
    },
  },
  {
    name: 'letters that are gone use up nothing of the rate',
    missing: needsTimeTravel,
    async run(t) {
      const { ids } = await died(t, 3)
      await start(t, { id: 'job', perSecond: 1 })
      await t.store.discardDead(
        ids.slice(0, 2).map((id) => ({ group: 'coupon', id })),
        note,
      )
      assert.deepEqual(await t.store.redrives.step(), { redriven: 1, nextInMs: undefined })
      assert.equal((await t.store.redrives.list({}))[0]?.gone, 2)
    },
  },
  {
    name: 'any process goes on with a redrive where another left off',
    missing: needsTimeTravel,
    async run(t) {
      const { lease, ids } = await died(t, 4)
      await start(t, { id: 'job', perSecond: 2 })
      const left = await t.another()
      await left.store.redrives.step()
      await left.close()
      const { store } = await t.another()
      for (let turn = 1; turn < 4; turn++) {
        assert.equal((await store.redrives.step()).redriven, 0, 'the rate is kept too')
        await t.advance(500)
        assert.equal((await store.redrives.step()).redriven, 1)
      }
      assert.equal((await store.redrives.show('job'))?.state, 'done')
      assert.deepEqual(await t.dueIds(lease), ids)
    },
  },
]
