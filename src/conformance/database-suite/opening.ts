import assert from 'node:assert/strict'
import { type DatabaseClaims, type DatabasePromise } from '../database-bench.ts'
import { rejectsWith } from '../store-bench.ts'

/** `open`: what cannot keep a message is refused before one is accepted. */
export const opening: readonly DatabasePromise[] = [
  {
    name: 'opening tells which schema was found, and which is there now',
    async run(t) {
      const { now } = t.database.schema
      assert.ok(now >= 1)
      assert.deepEqual(t.database.schema, { before: now, now })
      const empty = await t.subject.empty()
      const fresh = t.closing(await empty.open('auto'))
      assert.deepEqual(fresh.schema, { before: 0, now })
    },
  },
  {
    name: 'an empty database is refused where migrations are only checked, and stays empty',
    async run(t) {
      const empty = await t.subject.empty()
      for (let round = 0; round < 2; round++)
        await rejectsWith('store.schema-missing', () => empty.open('check'))
      const migrated = t.closing(await empty.open('auto'))
      assert.equal(migrated.schema.before, 0)
      const checked = t.closing(await empty.open('check'))
      assert.equal(checked.schema.before, migrated.schema.now)
    },
  },
  {
    name: 'P14: a schema of newer code is refused if it needs newer code',
    async run(t) {
      await t.subject.pretendNewer(t.database.schema.now + 7, t.database.schema.now + 1)
      const error = await rejectsWith('store.schema-too-new', async () => t.closing(await t.subject.open()))
      assert.equal(error.facts['installed'], t.database.schema.now + 7)
    },
  },
  {
    name: 'P14: a schema of newer code that works with this one is used as it is',
    async run(t) {
      const { now } = t.database.schema
      await t.subject.pretendNewer(now + 1, now)
      const beside = await t.another()
      assert.deepEqual(beside.schema, { before: now + 1, now: now + 1 })
      await beside.transaction({ work: (tx) => t.append(tx, beside) })
      assert.equal(await t.logged(), 1)
    },
  },
  {
    name: 'processes that start together on an empty database migrate it once',
    async run(t) {
      const { now } = t.database.schema
      const schemas = await t.subject.openInProcesses(4)
      assert.deepEqual(
        schemas.map((schema) => schema.now),
        [now, now, now, now],
      )
      assert.ok(schemas.some(({ before }) => before === 0))
    },
  },
  {
    name: 'closing twice is closing once, and nothing hangs afterwards',
    async run(t) {
      const database = await t.subject.open()
      await database.close()
      await database.close()
      await assert.rejects(database.transaction({ work: (tx) => t.add(tx, 'late') }))
      await assert.rejects(database.store.topics())
      await t.database.transaction({ work: (tx) => t.add(tx, 'others go on') })
    },
  },
]

export function refusals({ refusals: kinds }: DatabaseClaims): readonly DatabasePromise[] {
  return kinds.map(({ what, code }) => ({
    name: `${what} is refused`,
    async run(t) {
      await rejectsWith(code, async () => await t.subject.openRefused(what))
    },
  }))
}
