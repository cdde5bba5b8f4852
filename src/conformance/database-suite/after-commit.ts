import assert from 'node:assert/strict'
import { type DatabasePromise } from '../database-bench.ts'
import { rejectsWith } from '../store-bench.ts'

/** `afterCommit`: for what may be lost, and must not happen early. */
export const afterCommit: readonly DatabasePromise[] = [
  {
    name: 'afterCommit runs once the transaction has committed, in the order given, and not before',
    async run(t) {
      const seen: string[] = []
      await t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'paid')
          t.database.afterCommit(tx, () => void seen.push('first'))
          t.database.afterCommit(tx, () => void seen.push('second'))
          assert.deepEqual(seen, [])
        },
        closing: () => assert.deepEqual(seen, []),
      })
      assert.deepEqual(seen, ['first', 'second'])
    },
  },
  {
    name: 'afterCommit finds what was committed',
    async run(t) {
      const found = Promise.withResolvers<readonly string[]>()
      await t.database.transaction({
        work: async (tx) => {
          t.database.afterCommit(tx, async () => found.resolve(await t.effects()))
          await t.add(tx, 'paid')
        },
      })
      assert.deepEqual(await found.promise, ['paid'])
    },
  },
  {
    name: 'afterCommit never runs if the transaction rolls back',
    async run(t) {
      const seen: string[] = []
      for (const stage of ['work', 'closing'] as const) {
        const failed = t.database.transaction({
          work: async (tx) => {
            t.database.afterCommit(tx, () => void seen.push(stage))
            await t.add(tx, stage)
            if (stage === 'work') throw new Error('no')
          },
          closing: () => {
            throw new Error('no')
          },
        })
        await assert.rejects(failed)
      }
      assert.deepEqual(seen, [])
    },
  },
  {
    name: 'what afterCommit throws undoes nothing and stops no other',
    async run(t) {
      const seen: string[] = []
      const answer = await t.database.transaction({
        work: async (tx) => {
          t.database.afterCommit(tx, () => {
            throw new Error('broken')
          })
          t.database.afterCommit(tx, () => Promise.reject(new Error('broken later')))
          t.database.afterCommit(tx, () => void seen.push('third'))
          await t.add(tx, 'paid')
          return 'committed'
        },
      })
      assert.equal(answer, 'committed')
      assert.deepEqual(seen, ['third'])
      assert.deepEqual(await t.effects(), ['paid'])
    },
  },
  {
    name: 'afterCommit is refused for a transaction that Waybill did not open',
    async run(t) {
      const own = await t.own()
      await own.begin()
      await rejectsWith('publish.after-commit-unsupported', () => t.database.afterCommit(own.tx, () => {}))
      await own.rollback()
    },
  },
  {
    name: 'afterCommit is refused for a transaction that is over: it would never run',
    async run(t) {
      let kept: unknown
      await t.database.transaction({ work: (tx) => void (kept = tx) })
      await rejectsWith('store.transaction-closed', () => t.database.afterCommit(kept, () => {}))
    },
  },
]
