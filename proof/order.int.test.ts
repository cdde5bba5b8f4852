import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService, serviceNames } from '../scripts/services/index.ts'
import { temporaryFolder } from '../src/testing/index.ts'
import { prove } from './order/prove.ts'

const messages = 20_000
const seedsMax = 5
const silent = (): void => {}
const perfect = { skipped: 0, twice: 0, misordered: 0, isStalled: false }

test('SQLite: every committed message is read once, in the order of its key', async (context) => {
  const folder = temporaryFolder()
  context.onTestFinished(() => folder.remove())
  const database = `sqlite:${folder.path}`
  const result = await prove({ database, messages, writers: 8, seed: 1, reader: 'waybill', say: silent })
  expect(result).toMatchObject({ ...perfect, published: messages })
})

for (const name of serviceNames) {
  const found = await requireService(name)
  describe.skipIf('skipped' in found)(`the log of ${name}`, () => {
    const on = async (run: (database: string) => Promise<void>): Promise<void> => {
      const fresh = await freshDatabase(name, (found as { url: string }).url)
      try {
        await run(fresh.url)
      } finally {
        await fresh.drop()
      }
    }

    test('P9, P10, P18: every committed message is read once, in the order of its key, and none waits for a long transaction', () =>
      on(async (database) => {
        const result = await prove({
          database,
          messages,
          writers: 8,
          seed: 1,
          reader: 'waybill',
          say: silent,
        })
        expect(result).toMatchObject(perfect)
        expect(result.published).toBeGreaterThanOrEqual(messages)
        expect(result.readers).toBeGreaterThan(1)
        expect(result.holdMs).toBeGreaterThan(5_000)
      }))

    test('the proof can fail: a reader that polls for ids above the last one skips', () =>
      on(async (database) => {
        let skipped = 0
        for (let seed = 1; seed <= seedsMax && skipped === 0; seed++) {
          const control = { messages: 2_000, writers: 8, seed, reader: 'naive', say: silent } as const
          skipped = (await prove({ database, ...control })).skipped
        }
        expect(skipped).toBeGreaterThan(0)
      }))
  })
}
