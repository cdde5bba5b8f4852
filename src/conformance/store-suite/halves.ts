import assert from 'node:assert/strict'
import {
  type Decision,
  type HalfFilter,
  type HalfState,
  type StoredHalf,
  halfStates,
} from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import {
  type Draft,
  type StoreBench,
  type StorePromise,
  idsOf,
  needsTimeTravel,
  paid,
  rejectsWith,
} from '../store-bench.ts'

const stateAfter: Readonly<Record<Decision, HalfState>> = { commit: 'committed', rollback: 'rolled-back' }
const contrary: Readonly<Record<Decision, Decision>> = { commit: 'rollback', rollback: 'commit' }
const decisions: readonly Decision[] = ['commit', 'rollback']

/** Preparing, looking, checking. */
const undecided: readonly StorePromise[] = [
  {
    name: 'a half message is kept whole and is invisible to every reader',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const draft = { key: 'order-1', shardingKey: 'user-1', tag: 'gold', headers: { a: 'b' } }
      const id = await prepare(t, draft)
      const { key, shardingKey, tag, headers, body, state, checks, failures, decidedAt } = await halfOf(t, id)
      assert.deepEqual(
        { key, shardingKey, tag, headers, body, state, checks, failures, decidedAt },
        { ...draft, body: '{"paid":1}', state: 'prepared', checks: 0, failures: 0, decidedAt: null },
      )
      assert.deepEqual(await t.readIds(group), [])
      assert.deepEqual(await statesIn(t, id), ['in-doubt'])
    },
  },
  {
    name: 'half messages are listed by id, key, topic and state, oldest first; undecided ones unless others are asked for',
    async run(t) {
      const old = await prepare(t, { key: 'order-1', publishedAt: t.now - 2 })
      const other = await prepare(t, { key: 'order-2', publishedAt: t.now - 1 })
      const done = await prepare(t, { key: 'order-1' })
      await decide(t, done, 'commit')
      await t.store.halves.doubt(other, 'fifteen checks')
      const list = async (filter: HalfFilter): Promise<MessageId[]> =>
        idsOf(await t.store.halves.list(filter))
      assert.deepEqual(await list({}), [old, other])
      assert.deepEqual(await list({ states: halfStates }), [old, other, done])
      assert.deepEqual(await list({ states: ['in-doubt'] }), [other])
      assert.deepEqual(await list({ key: 'order-1' }), [old])
      assert.deepEqual(await list({ key: 'order-1', states: ['committed'] }), [done])
      assert.deepEqual(await list({ id: other }), [other])
      assert.deepEqual(await list({ topic: 'order.shipped' }), [])
      assert.deepEqual(await list({ limit: 1 }), [old])
    },
  },
  {
    name: 'a check is taken when it is due, oldest first, by topic and service, and then not before its time',
    missing: needsTimeTravel,
    async run(t) {
      const late = await prepare(t, {}, t.now + 2_000)
      const early = await prepare(t, {}, t.now + 1_000)
      assert.equal(await t.store.halves.nextCheck('order', [paid.name]), t.now + 1_000)
      assert.deepEqual(await take(t), [])
      await t.advance(2_000)
      assert.deepEqual(await take(t, { service: 'elsewhere' }), [])
      assert.deepEqual(await take(t, { topics: ['order.shipped'] }), [])
      assert.equal(await t.store.halves.nextCheck('order', ['order.shipped']), undefined)
      assert.deepEqual(await take(t, { limit: 1 }), [early])
      assert.deepEqual(await take(t), [late])
      assert.deepEqual(await take(t), [])
      assert.equal(await t.store.halves.nextCheck('order', [paid.name]), t.now + 5_000)
      await t.advance(5_000)
      assert.deepEqual((await take(t)).toSorted(), [early, late].toSorted())
    },
  },
  {
    name: 'no check is given to two instances',
    async run(t) {
      const ids = await Promise.all(Array.from({ length: 20 }, () => prepare(t)))
      const { store } = await t.another()
      const taken = await Promise.all(
        Array.from({ length: 10 }, (_, n) => take(t, { limit: 3 }, n % 2 === 0 ? t.store : store)),
      )
      assert.deepEqual(taken.flat().toSorted(), ids.toSorted())
    },
  },
  {
    name: 'P23: the local work’s heartbeat puts the check off, and never nearer; once decided it is told so',
    missing: needsTimeTravel,
    async run(t) {
      const id = await prepare(t, {}, t.now + 1_000)
      assert.equal(await t.store.halves.postpone(id, t.now + 6_000), true)
      assert.equal(await t.store.halves.postpone(id, t.now + 3_000), true)
      await t.advance(5_999)
      assert.deepEqual(await take(t), [])
      await t.advance(1)
      assert.deepEqual(await take(t), [id])
      await decide(t, id, 'rollback')
      assert.equal(await t.store.halves.postpone(id, t.now + 6_000), false)
    },
  },
  {
    name: 'P25: answered and failed checks are counted apart; no count ends anything',
    async run(t) {
      const id = await prepare(t)
      const { halves: store } = t.store
      for (let n = 0; n < 20; n++) await store.recordUnknown(id, true, t.now, 'not paid yet')
      for (let n = 0; n < 3; n++) await store.recordUnknown(id, false, t.now + 1_000, 'the bank is down')
      const { state, checks, failures, because } = await halfOf(t, id)
      assert.deepEqual(
        { state, checks, failures, because },
        { state: 'prepared', checks: 20, failures: 3, because: 'the bank is down' },
      )
      assert.equal(await store.nextCheck('order', [paid.name]), t.now + 1_000)
    },
  },
  {
    name: 'what is in doubt is checked no more, stays in sight, and can be decided',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const id = await prepare(t)
      await t.store.halves.doubt(id, 'fifteen checks')
      await t.advance(3_600_000)
      assert.deepEqual(await take(t), [])
      assert.equal(await t.store.halves.nextCheck('order', [paid.name]), undefined)
      await t.store.purge(t.now)
      const { state, because } = await halfOf(t, id)
      assert.deepEqual({ state, because }, { state: 'in-doubt', because: 'fifteen checks' })
      await t.store.halves.decide(id, 'commit', 'person', 'ann: looked it up')
      assert.deepEqual(await t.readIds(group), [id])
    },
  },
  {
    name: 'a late unknown, heartbeat or doubt changes nothing that was decided',
    async run(t) {
      const id = await prepare(t)
      await decide(t, id, 'commit')
      const before = await halfOf(t, id)
      await t.store.halves.recordUnknown(id, true, t.now, 'late')
      await t.store.halves.doubt(id, 'late')
      await t.store.halves.postpone(id, t.now)
      assert.deepEqual(await halfOf(t, id), before)
      assert.deepEqual(await take(t), [])
    },
  },
]

const decided: readonly StorePromise[] = [
  {
    name: 'a half message that is committed enters the log whole, due at its decision (P18)',
    missing: needsTimeTravel,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const id = await prepare(t, { key: 'order-1', shardingKey: 'user-1' })
      await t.advance(1_000)
      const [published] = await t.publish({ shardingKey: 'user-1' })
      await t.advance(1_000)
      await decide(t, id, 'commit')
      const read = await t.read(group)
      assert.deepEqual(idsOf(read), [published, id])
      const { key, body, eligibleAt, publishedAt } = read[1]!
      assert.deepEqual(
        { key, body, eligibleAt, publishedAt },
        { key: 'order-1', body: '{"paid":1}', eligibleAt: t.now, publishedAt: t.now - 2_000 },
      )
    },
  },
  {
    name: 'a half message that is rolled back never enters the log; it is found as rolled back, or as expired',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const [gone, late] = [await prepare(t), await prepare(t)]
      await t.store.halves.decide(gone, 'rollback', 'check-back', 'no such order')
      await t.store.halves.decide(late, 'rollback', 'policy', 'never paid', true)
      assert.deepEqual(await t.readIds(group), [])
      assert.deepEqual(await statesIn(t, gone), ['rolled-back'])
      assert.deepEqual(await statesIn(t, late), ['expired'])
      const { state, decidedBy, decidedAt, because } = await halfOf(t, gone)
      assert.deepEqual(
        { state, decidedBy, decidedAt, because },
        { state: 'rolled-back', decidedBy: 'check-back', decidedAt: t.now, because: 'no such order' },
      )
    },
  },
  ...decisions.map((first): StorePromise => ({
    name: `P23: a decision is written once: after ${first} the same is a no-op, the other is refused and told who won`,
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const id = await prepare(t)
      await t.store.halves.decide(id, first, 'check-back', null)
      const logged = await t.readIds(group)
      await t.store.halves.decide(id, first, 'person', 'again')
      await decideIn(t, id, first)
      const refused = await rejectsWith('half.already-decided', () =>
        t.store.halves.decide(id, contrary[first], 'person', 'no'),
      )
      const { winner, by } = refused.facts
      assert.deepEqual({ winner, by }, { winner: stateAfter[first], by: 'check-back' })
      await rejectsWith('half.already-decided', () => decideIn(t, id, contrary[first]))
      assert.deepEqual(await t.effects(), [`effect of ${first}`], 'the business transaction failed with it')
      assert.deepEqual(await t.readIds(group), logged)
      assert.deepEqual(logged, first === 'commit' ? [id] : [])
    },
  })),
  {
    name: 'P23: a decision in a business transaction that rolls back was never made',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const id = await prepare(t)
      for (const decision of decisions) await assert.rejects(decideIn(t, id, decision, true), /undone/)
      assert.equal((await halfOf(t, id)).state, 'prepared')
      assert.deepEqual(await t.readIds(group), [])
      assert.deepEqual(await take(t), [id])
      await decideIn(t, id, 'commit')
      assert.deepEqual(await t.readIds(group), [id])
      assert.deepEqual(await t.effects(), ['effect of commit'])
    },
  },
  {
    name: 'P23: two processes decide otherwise at once: one wins, the other is told who, and the log agrees',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const other = await t.another()
      const winners = new Set<HalfState>()
      for (let n = 0; n < 10; n++) {
        const id = await prepare(t)
        const contenders = [
          () => t.store.halves.decide(id, 'commit', 'producer', null),
          () => other.store.halves.decide(id, 'rollback', 'check-back', null),
        ]
        if (n % 2 === 1) contenders.reverse()
        const race = await Promise.allSettled(contenders.map((decideOnce) => decideOnce()))
        const { state, decidedBy } = await halfOf(t, id)
        winners.add(state)
        assert.deepEqual(race.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
        const refused = race.find((one) => one.status === 'rejected')!
        const { winner, by } = (
          await rejectsWith('half.already-decided', () => Promise.reject(refused.reason))
        ).facts
        assert.deepEqual({ winner, by }, { winner: state, by: decidedBy })
        assert.equal((await t.readIds(group)).includes(id), state === 'committed')
      }
      assert.equal(winners.size, 2, 'either may win')
    },
  },
  {
    name: 'P23: a business transaction that decides at once with another process either commits with its decision or fails with its writes',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const other = await t.another()
      for (const first of decisions) {
        const id = await prepare(t)
        const before = await t.effects()
        const race = await Promise.allSettled([
          decideIn(t, id, first),
          other.transaction({
            work: async (tx) => {
              await t.subject.effects.add(tx, `effect of ${contrary[first]}`)
              await other.store.halves.decideIn(tx, id, contrary[first], 'producer', null)
            },
          }),
        ])
        const { state } = await halfOf(t, id)
        const won = decisions.find((decision) => stateAfter[decision] === state)!
        assert.deepEqual(race.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
        assert.deepEqual((await t.effects()).slice(before.length), [`effect of ${won}`])
        assert.equal((await t.readIds(group)).includes(id), won === 'commit')
      }
    },
  },
  {
    name: 'what is no half message cannot be decided',
    async run(t) {
      const [message] = await t.publish({})
      for (const id of [message!, t.subject.ports.ids.message()]) {
        await rejectsWith('half.unknown', () => decide(t, id, 'commit'))
        await rejectsWith('half.unknown', () => decideIn(t, id, 'rollback'))
      }
    },
  },
  {
    name: 'P18: a half message that is delayed waits for its time after it is committed',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const id = await prepare(t, { eligibleAt: t.now + 60_000 })
      await decide(t, id, 'commit')
      assert.deepEqual(await t.readIds(group), [])
      assert.deepEqual(await statesIn(t, id), ['delayed'])
    },
  },
  {
    name: 'P18: a half message that is not delayed enters the log with its decision, also where the clock went back since it was prepared',
    async run(t) {
      const group = await t.groupWithLease('coupon')
      const before = { publishedAt: t.now + 3_600_000, eligibleAt: t.now + 3_600_000 }
      const id = await prepare(t, { shardingKey: 'user-1', ...before })
      await decide(t, id, 'commit')
      const [later] = await t.publish({ shardingKey: 'user-1' })
      assert.deepEqual(await t.readIds(group), [id, later])
    },
  },
  {
    name: 'P27: a dedup key that an undecided half message holds is pending, committed it is taken, rolled back it is free',
    async run(t) {
      const dedupKey = 'order-1'
      const again = async (): Promise<{ id: MessageId; duplicate: boolean; pending: boolean }> =>
        t.store.halves.prepare(t.draft({ dedupKey }), paid, t.now)
      const { id: first } = await again()
      assert.deepEqual(await again(), { id: first, duplicate: true, pending: true })
      await t.store.halves.doubt(first, 'fifteen checks')
      assert.deepEqual(await again(), { id: first, duplicate: true, pending: true })
      await rejectsWith('publish.dedup-pending', () => t.append({ dedupKey }))
      await decide(t, first, 'rollback')
      const second = await again()
      assert.equal(second.duplicate, false)
      await decide(t, second.id, 'commit')
      assert.deepEqual(await again(), { id: second.id, duplicate: true, pending: false })
      assert.deepEqual(await t.append({ dedupKey }), [{ id: second.id, duplicate: true }])
      assert.deepEqual(idsOf(await t.store.halves.list({ states: halfStates })).length, 2)
    },
  },
  {
    name: 'purge drops half messages that were decided before, and no others',
    missing: needsTimeTravel,
    async run(t) {
      const waits = await prepare(t)
      const doubtful = await prepare(t)
      await t.store.halves.doubt(doubtful, 'fifteen checks')
      const [kept, gone] = [await prepare(t), await prepare(t)]
      await decide(t, kept, 'commit')
      await decide(t, gone, 'rollback')
      const decidedAt = t.now
      await t.advance(3_600_000)
      const young = await prepare(t)
      await decide(t, young, 'commit')
      const left = async (): Promise<MessageId[]> =>
        idsOf(await t.store.halves.list({ states: halfStates })).toSorted()
      await t.store.purge(decidedAt)
      assert.equal((await left()).length, 5, 'nothing was decided before its own decision')
      await t.store.purge(t.now)
      assert.deepEqual(await left(), [waits, doubtful, young].toSorted())
      assert.deepEqual(await statesIn(t, gone), [])
    },
  },
]

/** P23 to P25, P27. */
export const halves: readonly StorePromise[] = [...undecided, ...decided]

/** Prepares a half message whose check is due at once, or at the time given. */
async function prepare(t: StoreBench, draft: Draft = {}, checkAt = t.now): Promise<MessageId> {
  const message = t.draft(draft)
  const prepared = await t.store.halves.prepare(message, paid, checkAt)
  assert.deepEqual(prepared, { id: message.id, duplicate: false, pending: true })
  return prepared.id
}

function decide(t: StoreBench, id: MessageId, decision: Decision): Promise<void> {
  return t.store.halves.decide(id, decision, 'producer', null)
}

/** Decides in a business transaction with an effect of its own. */
function decideIn(t: StoreBench, id: MessageId, decision: Decision, fails = false): Promise<void> {
  return t.transaction(async (tx) => {
    await t.subject.effects.add(tx, `effect of ${decision}`)
    await t.store.halves.decideIn(tx, id, decision, 'producer', null)
    if (fails) throw new Error('undone')
  })
}

/** Takes checks for five seconds. */
async function take(
  t: StoreBench,
  { service = 'order', topics = [paid.name] as readonly string[], limit = 100 } = {},
  { halves: store } = t.store,
): Promise<MessageId[]> {
  return idsOf(await store.takeChecks(service, topics, t.now + 5_000, limit))
}

async function halfOf(t: StoreBench, id: MessageId): Promise<StoredHalf> {
  const [stored] = await t.store.halves.list({ id, states: halfStates })
  assert.ok(stored, `half message ${id} is there`)
  return stored
}

/** Where a message stands that no group has seen. */
async function statesIn(t: StoreBench, id: MessageId): Promise<readonly string[]> {
  return (await t.store.search({ id })).flatMap(({ groups }) => groups.map(({ state }) => state))
}
