import assert from 'node:assert/strict'
import { type DatabaseBench, type DatabaseClaims, type DatabasePromise } from '../database-bench.ts'
import { rejectsWith } from '../store-bench.ts'

/** A full disk is nobody's fault, loses nothing, and passes by itself. */
export const diskFull: readonly DatabasePromise[] = [
  {
    name: 'a full disk fails the business transaction as a whole, with its code',
    missing: fillsUp,
    async run(t) {
      await t.database.transaction({ work: (tx) => t.add(tx, 'before') })
      await fill(t)
      const failed = t.database.transaction({ work: (tx) => addMuch(t, tx) })
      await rejectsWith('store.disk-full', () => failed)
      assert.deepEqual(await t.effects(), ['before'])
      assert.equal(await t.logged(), 0)
    },
  },
  {
    name: 'a full disk that the work swallows does not commit half of it',
    missing: fillsUp,
    async run(t) {
      await fill(t)
      const outcome = await t.database
        .transaction({
          work: async (tx) => {
            await t.add(tx, 'first')
            try {
              await addMuch(t, tx)
            } catch {
              // As user code does that catches everything.
            }
          },
        })
        .then(
          () => 'committed',
          () => 'rolled back',
        )
      const effects = await t.effects()
      assert.deepEqual(effects.includes('first'), outcome === 'committed')
      assert.equal(await t.logged(), 0)
    },
  },
  {
    name: 'a full disk fails Waybill’s own writes with its code',
    missing: fillsUp,
    async run(t) {
      await fill(t)
      const topics = Array.from({ length: 2_000 }, (_, i) => ({ name: `topic.${i}`, queues: 1 }))
      await rejectsWith('store.disk-full', () => t.database.store.declareTopics(topics))
      assert.deepEqual(await t.database.store.topics(), [])
    },
  },
  {
    name: 'once there is room again everything works, and nothing is missing',
    missing: fillsUp,
    async run(t) {
      await t.database.transaction({ work: (tx) => t.append(tx) })
      await fill(t)
      await rejectsWith('store.disk-full', () => t.database.transaction({ work: (tx) => addMuch(t, tx) }))
      await t.database.transaction({ work: async (tx) => void (await t.subject.room!(tx, true)) })
      await t.database.transaction({ work: (tx) => addMuch(t, tx) })
      assert.equal(await t.logged(), 2)
      assert.equal((await t.effects()).length, 1)
    },
  },
]

function fillsUp(claims: DatabaseClaims): string | undefined {
  return claims.fillsUp ? undefined : 'a test cannot fill this database up'
}

async function fill(t: DatabaseBench): Promise<void> {
  await t.database.transaction({ work: async (tx) => void (await t.subject.room!(tx, false)) })
}

async function addMuch(t: DatabaseBench, tx: unknown): Promise<void> {
  await t.append(tx)
  await t.add(tx, 'much '.repeat(100_000))
}
