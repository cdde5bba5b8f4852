import assert from 'node:assert/strict'
import type { DependencySight } from '../../core/dependencies.ts'
import { type StorePromise, needsTimeTravel } from '../store-bench.ts'

const dayMs = 24 * 3_600_000

export const dependencies: readonly StorePromise[] = [
  {
    name: 'what an instance says of a dependency replaces what it said before, and is listed by name and owner',
    async run(t) {
      const say = (sight: Partial<DependencySight>): Promise<void> =>
        t.store.dependencies.report({ ...well(t.now), ...sight })
      await say({ owner: 'b' })
      await say({ name: 'bank', owner: 'b' })
      await say({ owner: 'a' })
      await say({ owner: 'b', state: 'open', since: t.now + 1, because: 'HTTP 503', groups: ['a', 'b'] })
      const open = { state: 'open', since: t.now + 1, because: 'HTTP 503', groups: ['a', 'b'] } as const
      assert.deepEqual(await t.store.dependencies.list(), [
        { ...well(t.now), name: 'bank', owner: 'b', isSilent: false },
        { ...well(t.now), owner: 'a', isSilent: false },
        { ...well(t.now), owner: 'b', ...open, isSilent: false },
      ])
    },
  },
  {
    name: 'withdrawing forgets all that one owner said, and nothing else',
    async run(t) {
      await t.store.dependencies.report({ ...well(t.now), owner: 'a' })
      await t.store.dependencies.report({ ...well(t.now), owner: 'a', name: 'bank' })
      await t.store.dependencies.report({ ...well(t.now), owner: 'b' })
      await t.store.dependencies.withdraw('a')
      assert.deepEqual(await t.store.dependencies.list(), [{ ...well(t.now), owner: 'b', isSilent: false }])
    },
  },
  {
    name: 'what an instance said that has fallen silent is listed for a day, then dropped',
    missing: needsTimeTravel,
    async run(t) {
      const silent = { ...well(t.now), owner: 'a', state: 'open' } as const
      await t.store.dependencies.report(silent)
      await t.advance(dayMs)
      await t.store.dependencies.report({ ...well(t.now), owner: 'b' })
      assert.deepEqual(
        (await t.store.dependencies.list()).map(({ owner, isSilent }) => [owner, isSilent]),
        [
          ['a', true],
          ['b', false],
        ],
      )
      await t.advance(dayMs)
      await t.store.dependencies.report({ ...well(t.now), owner: 'b' })
      assert.deepEqual(
        (await t.store.dependencies.list()).map(({ owner }) => owner),
        ['b'],
      )
    },
  },
  {
    name: 'a dead letter keeps the dependency that its failure was charged to, and is found by it',
    async run(t) {
      const lease = await t.groupWithLease('logistics')
      await t.publish({}, {})
      const [first, second] = await t.read(lease)
      const failure = { attempts: 1, cause: 'handler.retries-exhausted', because: 'HTTP 503' } as const
      await t.store.settle(lease, [
        { ...failure, message: first!, state: 'dead', dependency: 'logistics' },
        { ...failure, message: second!, state: 'dead' },
      ])
      const found = await t.store.deadLetters({ dependency: 'logistics' })
      assert.deepEqual(
        found.map(({ id, dependency }) => ({ id, dependency })),
        [{ id: first!.id, dependency: 'logistics' }],
      )
      assert.deepEqual((await t.store.deadLetters({})).map(({ dependency }) => dependency).toSorted(), [
        'logistics',
        null,
      ])
    },
  },
]

function well(now: number): DependencySight {
  return {
    name: 'logistics',
    owner: 'a',
    service: 'warehouse',
    state: 'closed',
    since: now,
    because: null,
    groups: ['logistics'],
    until: now + 30_000,
  }
}
