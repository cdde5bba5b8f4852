import assert from 'node:assert/strict'
import { type StorePromise, needsTimeTravel, rejectsWith } from '../store-bench.ts'
import { died, itemsOf, newRedrive, note, start, stepAll } from './redrive-scenes.ts'

const dayMs = 24 * 3_600_000

/** What a redrive selects, how it is changed, and what is kept of it. */
export const redrives: readonly StorePromise[] = [
  {
    name: 'a redrive delivers the dead letters of its selection again, whole, and is done',
    async run(t) {
      const { lease, ids } = await died(t, 3)
      const job = await start(t, { id: 'job' })
      const expected = { id: 'job', state: 'running', perSecond: null, order: 'oldest-first', ...note }
      const begun = { createdAt: t.now, endedAt: null, total: 3, redriven: 0, gone: 0 }
      assert.deepEqual(job, { ...expected, ...begun })
      assert.deepEqual(await t.dueIds(lease), [], 'nothing before a step')
      assert.deepEqual(await t.store.redrives.step(), { redriven: 3, nextInMs: undefined })
      assert.deepEqual(await t.store.deadLetters({}), [])
      for (const message of await t.store.due(lease, t.now, 10)) await t.run(lease, [message], 'retrying')
      assert.deepEqual((await t.effects()).toSorted(), ids.map((id) => `coupon:${id}`).toSorted())
      const items = ids.map((id) => ({ group: 'coupon', id, outcome: 'redriven', at: t.now }))
      const done = { ...job, state: 'done', redriven: 3, endedAt: t.now }
      assert.deepEqual(await t.store.redrives.show('job'), { ...done, items })
    },
  },
  {
    name: 'the selection is frozen when the redrive is made: what dies later is not part of it',
    async run(t) {
      const { lease, ids } = await died(t, 1)
      await start(t, { id: 'job' })
      const [late] = await t.publish({})
      await t.buryAll({ ...lease, position: await t.cursor('coupon') })
      assert.deepEqual((await stepAll(t)).redriven, 1)
      assert.deepEqual(await t.dueIds(lease), ids)
      assert.deepEqual(await t.statesOf(lease, [late!]), ['dead'])
    },
  },
  {
    name: 'the same id again answers the redrive that is there, whatever it says, and selects nothing new',
    async run(t) {
      const { lease } = await died(t, 2)
      const first = await t.store.redrives.create(newRedrive({ id: 'job', selection: { group: 'coupon' } }))
      assert.equal(first.created, true)
      await t.publish({})
      await t.buryAll({ ...lease, position: await t.cursor('coupon') })
      const { store } = await t.another()
      const again = await store.redrives.create(
        newRedrive({ id: 'job', perSecond: 1, note: { by: 'bob', because: 'me too' } }),
      )
      assert.deepEqual(again, { job: first.job, created: false })
      assert.equal((await stepAll(t)).redriven, 2)
      assert.equal((await t.store.redrives.create(newRedrive({ id: 'job' }))).job.state, 'done')
      assert.equal((await stepAll(t)).redriven, 0)
    },
  },
  {
    name: 'letters that are named one by one are redriven once, without those that are not dead',
    async run(t) {
      const { lease, ids } = await died(t, 3)
      await t.store.discardDead([{ group: 'coupon', id: ids[1]! }], note)
      const selection = [ids[2]!, ids[0]!, ids[1]!, ids[2]!, t.subject.ports.ids.message()].map((id) => ({
        group: 'coupon',
        id,
      }))
      assert.equal((await start(t, { id: 'job', selection })).total, 2)
      await stepAll(t)
      assert.deepEqual(await itemsOf(t, 'job'), [ids[0], ids[2]])
      assert.deepEqual(await t.statesOf(lease, ids), ['retrying', 'discarded', 'retrying'])
    },
  },
  {
    name: 'a filter selects all that fit, whatever its limit says',
    async run(t) {
      await died(t, 120, { key: 'order-1' })
      await t.buryAll(await t.groupWithLease('logistics'))
      const job = await start(t, { id: 'job', selection: { key: 'order-1', group: 'coupon', limit: 5 } })
      assert.equal(job.total, 120)
      assert.equal((await start(t, { id: 'all' })).total, 240)
      assert.equal((await start(t, { id: 'cause', selection: { cause: 'handler.poison' } })).total, 0)
    },
  },
  {
    name: 'what has been redriven generationsMax times is left out',
    async run(t) {
      const { lease, ids } = await died(t, 2)
      await t.store.redrive([{ group: 'coupon', id: ids[0]! }], note)
      await t.bury(lease, (await t.store.due(lease, t.now, 1))[0]!)
      assert.equal((await start(t, { id: 'one', generationsMax: 1 })).total, 1)
      assert.equal((await start(t, { id: 'two', generationsMax: 2 })).total, 2)
      assert.deepEqual(await itemsOf(t, 'one'), [ids[1]])
    },
  },
  {
    name: 'a redrive of nothing is done as soon as it is made',
    async run(t) {
      await t.group('coupon')
      for (const selection of [{}, []] as const) {
        const job = await start(t, { id: `job-${Array.isArray(selection)}`, selection })
        assert.deepEqual([job.state, job.total, job.endedAt], ['done', 0, t.now])
      }
    },
  },
  {
    name: 'P4: collisions at landing cannot be redriven: the redrive is refused, and not made',
    async run(t) {
      await t.group('coupon')
      const id = t.subject.ports.ids.message()
      await t.store.land(t.landing([{ id, body: '1' }]))
      await t.store.land(t.landing([{ id, body: '2' }], 'database:third'))
      const [letter] = await t.store.deadLetters({})
      assert.equal(letter?.cause, 'receipt.id-collision')
      for (const selection of [{}, [letter!]])
        await rejectsWith('dead-letter.unknown', () => start(t, { id: 'job', selection }))
      assert.equal(await t.store.redrives.show('job'), undefined)
    },
  },
  {
    name: 'a paused redrive stands still until it is resumed, in every process',
    missing: needsTimeTravel,
    async run(t) {
      await died(t, 2)
      await start(t, { id: 'job', perSecond: 1 })
      await t.store.redrives.step()
      const { store } = await t.another()
      assert.equal((await store.redrives.change('job', 'paused', note)).state, 'paused')
      await t.advance(10_000)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 0, nextInMs: undefined })
      assert.equal((await store.redrives.change('job', 'paused', note)).state, 'paused')
      assert.equal((await store.redrives.change('job', 'running', note)).state, 'running')
      assert.equal((await t.store.redrives.step()).redriven, 1)
    },
  },
  {
    name: 'what a cancelled redrive has not redriven stays dead, without an outcome',
    missing: needsTimeTravel,
    async run(t) {
      const { lease, ids } = await died(t, 3)
      await start(t, { id: 'job', perSecond: 1 })
      await t.store.redrives.step()
      const cancelled = await t.store.redrives.change('job', 'cancelled', note)
      assert.deepEqual([cancelled.state, cancelled.endedAt], ['cancelled', t.now])
      await t.advance(10_000)
      assert.deepEqual(await t.store.redrives.step(), { redriven: 0, nextInMs: undefined })
      assert.deepEqual(await t.statesOf(lease, ids), ['retrying', 'dead', 'dead'])
      assert.deepEqual(
        (await t.store.redrives.show('job'))?.items.map(({ outcome }) => outcome),
        ['redriven', null, null],
      )
    },
  },
  {
    name: 'a redrive that has ended stays ended, done or cancelled',
    async run(t) {
      const { lease, ids } = await died(t, 1)
      await start(t, { id: 'cancelled' })
      await t.store.redrives.change('cancelled', 'cancelled', note)
      await start(t, { id: 'done' })
      await stepAll(t)
      for (const id of ['cancelled', 'done'])
        for (const to of ['running', 'paused', 'cancelled'] as const)
          assert.equal((await t.store.redrives.change(id, to, note)).state, id)
      assert.equal((await stepAll(t)).redriven, 0)
      assert.deepEqual(await t.dueIds(lease), ids)
    },
  },
  {
    name: 'a redrive that nobody made cannot be changed: redrive.unknown; show and list know nothing of it',
    async run(t) {
      for (const to of ['running', 'paused', 'cancelled'] as const)
        await rejectsWith('redrive.unknown', () => t.store.redrives.change('nobody', to, note))
      assert.equal(await t.store.redrives.show('nobody'), undefined)
      assert.deepEqual(await t.store.redrives.list({ id: 'nobody' }), [])
    },
  },
  {
    name: 'redrives are listed newest first, by id and state, by the hundred unless more are asked for',
    missing: needsTimeTravel,
    async run(t) {
      await died(t, 1)
      for (let n = 0; n < 105; n++) {
        await start(t, { id: `job-${n}`, selection: n === 0 ? {} : [] })
        await t.advance(1)
      }
      const ids = async (filter = {}) => (await t.store.redrives.list(filter)).map(({ id }) => id)
      assert.deepEqual((await ids()).slice(0, 2), ['job-104', 'job-103'])
      assert.equal((await ids()).length, 100)
      assert.equal((await ids({ limit: 1_000_000 })).length, 105)
      assert.deepEqual(await ids({ states: ['running'] }), ['job-0'])
      assert.deepEqual(await ids({ states: ['running', 'done'], limit: 1 }), ['job-104'])
      assert.deepEqual(await ids({ id: 'job-7' }), ['job-7'])
      assert.deepEqual(await ids({ states: [] }), [])
    },
  },
  {
    name: 'purge drops redrives that have ended and are older; those that are running or paused stay',
    missing: needsTimeTravel,
    async run(t) {
      const { lease, ids } = await died(t, 2)
      await start(t, { id: 'done', selection: [{ group: 'coupon', id: ids[0]! }] })
      await stepAll(t)
      for (const id of ['cancelled', 'paused']) {
        await start(t, { id })
        await t.store.redrives.change(id, id as 'cancelled' | 'paused', note)
      }
      await t.advance(dayMs)
      await start(t, { id: 'running', perSecond: 1 })
      await start(t, { id: 'late', selection: [] })
      const listed = async () => (await t.store.redrives.list({})).map(({ id }) => id).toSorted()
      while ((await t.store.purge(t.now - dayMs)) > 0);
      assert.equal((await listed()).length, 5, 'nothing is older than itself')
      while ((await t.store.purge(t.now)) > 0);
      assert.deepEqual(await listed(), ['late', 'paused', 'running'])
      await t.store.redrives.change('running', 'cancelled', note)
      await t.store.redrives.change('paused', 'running', note)
      assert.equal((await stepAll(t)).redriven, 1)
      assert.deepEqual(await t.dueIds(lease), ids)
    },
  },
]
