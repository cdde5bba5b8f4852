import assert from 'node:assert/strict'
import { type DatabaseClaims, type DatabasePromise } from '../database-bench.ts'
import { rejectsWith } from '../store-bench.ts'

/** P32: the handle is asked, and what cannot answer is refused. */
export const handles: readonly DatabasePromise[] = [
  {
    name: 'P32: the user’s own handle is taken in a transaction, and refused outside one',
    async run(t) {
      const { tx, begin, commit, rollback } = await t.own()
      await rejectsWith('publish.no-transaction', () => t.database.assertInTransaction(tx))
      await begin()
      t.database.assertInTransaction(tx)
      await commit()
      await rejectsWith('publish.no-transaction', () => t.database.assertInTransaction(tx))
      await begin()
      t.database.assertInTransaction(tx)
      await rollback()
      await rejectsWith('publish.no-transaction', () => t.database.assertInTransaction(tx))
    },
  },
  {
    name: 'P32: the handle of Waybill’s own transaction is taken, from the start',
    async run(t) {
      await t.database.transaction({
        opened: (tx) => t.database.assertInTransaction(tx),
        work: (tx) => t.database.assertInTransaction(tx),
        closing: (tx) => t.database.assertInTransaction(tx),
      })
    },
  },
  {
    name: 'P32: the handle of a transaction that is over is refused',
    async run(t) {
      let kept: unknown
      await t.database.transaction({ work: (tx) => void (kept = tx) })
      await rejectsWith('store.transaction-closed', () => t.database.assertInTransaction(kept))
    },
  },
  {
    name: 'P32: what is no handle of this tool is refused',
    async run(t) {
      const others = [
        undefined,
        null,
        5,
        'tx',
        {},
        [],
        () => {},
        new Map(),
        Promise.resolve(),
        ...t.subject.foreign,
      ]
      for (const foreign of others)
        await rejectsWith('publish.handle-unknown', () => t.database.assertInTransaction(foreign))
    },
  },
  {
    name: 'P32: the handle of another database’s transaction is refused',
    async run(t) {
      const empty = await t.subject.empty()
      const elsewhere = t.closing(await empty.open('auto'))
      await elsewhere.transaction({
        work: (tx) =>
          rejectsWith('publish.handle-unknown', () => t.database.assertInTransaction(tx)).then(
            () => undefined,
          ),
      })
    },
  },
  {
    name: 'a publish in the user’s own transaction commits with it',
    async run(t) {
      const { tx, begin, commit } = await t.own()
      await begin()
      await t.add(tx, 'paid')
      await t.append(tx)
      assert.equal(await t.logged(), 0)
      await commit()
      assert.equal(await t.logged(), 1)
      assert.deepEqual(await t.effects(), ['paid'])
    },
  },
  {
    name: 'a publish in the user’s own transaction is rolled back with it',
    async run(t) {
      const { tx, begin, rollback } = await t.own()
      for (let round = 0; round < 2; round++) {
        await begin()
        await t.add(tx, 'paid')
        await t.append(tx)
        await rollback()
      }
      assert.equal(await t.logged(), 0)
      assert.deepEqual(await t.effects(), [])
    },
  },
  {
    name: 'one handle of the user’s serves one transaction after the other',
    async run(t) {
      const { tx, begin, commit } = await t.own()
      for (let round = 0; round < 3; round++) {
        await begin()
        t.database.assertInTransaction(tx)
        await t.append(tx)
        await commit()
      }
      assert.equal(await t.logged(), 3)
    },
  },
]

/** Settings that lose commits are the user's to choose, but not with a message in the transaction. */
export function unsafeHandles({ unsafeHandles: kinds }: DatabaseClaims): readonly DatabasePromise[] {
  return kinds.map(({ what, code }) => ({
    name: `${what} is refused`,
    async run(t) {
      const { tx, begin, rollback } = t.closing(await t.subject.unsafe(what))
      await begin()
      await rejectsWith(code, () => t.append(tx))
      await rollback()
      assert.equal(await t.logged(), 0)
    },
  }))
}
