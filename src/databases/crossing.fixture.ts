import assert from 'node:assert/strict'
import { expect } from 'vitest'
import { binary, topic } from '../index.ts'
import { until } from '../testing/until.ts'
import { type Conflicts, expectRunAgainAtOnce } from './conflicts.fixture.ts'
import { migrated } from './connected-tool.fixture.ts'
import type { Connect } from './tool-server.fixture.ts'

const texts = [
  '💌 emoji, 中文, é as e\u0301',
  `quotes ' '' " "" \` $$ $1 ? ?? \\ \\? :name @x`,
  'U+FFFF \uFFFF and U+FFFD \uFFFD',
  'NUL \u0000 as JSON has it',
  'lines\r\n\ttabs\u0085\u2028',
  '{"a":[1,"2"]}',
  'null',
  '9007199254740993',
  '2026-03-29T02:30:00.000+02:00',
  '0000-00-00',
  'x'.repeat(100_000),
]
const body = {
  texts,
  integers: [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.1, 1e300],
  nested: { null: null, yes: true, empty: {}, list: [[]] },
  long: '123456789012345678901234567890',
  at: '2026-11-22T01:02:03.004Z',
}
const bytes = Uint8Array.from({ length: 1_024 }, (_, i) => i % 256)
const key = `key ' " \\ ? $1 💌 \uFFFF`
/** Alike to a collation that folds case, accents, or spaces at the end. */
const folded = ['Größe', 'GRÖSSE', 'grosse', 'größe', 'Größe ', '\tGröße']

const Text = topic<typeof body>('crossing.text_1-a.b')
const Bytes = topic('crossing.bytes', binary)

export interface ToolTest {
  readonly name: string
  run(): Promise<void>
  readonly skip?: string | undefined
}

/** What differs by the kind of server. */
export interface Crossing {
  /** Makes the table `seen`, with a column `text`. */
  readonly prepare: readonly string[]
  readonly insertSeen: string
  /** What users set for their sessions, and what would change texts, bytes, numbers or times that were not bound. */
  readonly settings: readonly string[]
  readonly conflicts: Conflicts
  failing<Tx>(connect: Connect<Tx>): readonly ToolTest[]
}

/** Of the promises that a tool keeps on this kind of server. */
export function crossingSuite<Tx>(crossing: Crossing, connect: Connect<Tx>): readonly ToolTest[] {
  return [
    {
      name: 'bodies, keys and topics come through unchanged; what is rolled back does not',
      run: () => expectUnchanged(crossing, connect),
    },
    {
      name: 'keys that a collation would take for one another are told apart',
      run: () => expectToldApart(connect),
    },
    {
      name: 'P32: publish refuses the handle outside of transactions, and stores nothing',
      run: () => expectRootRefused(connect),
    },
    {
      name: 'P7: a handler whose own statement meets a conflict is run again at once, without an attempt',
      run: () => expectRunAgainAtOnce(crossing.conflicts, connect),
    },
    ...crossing.failing(connect),
  ]
}

/** What goes in through the tool's own transaction comes out of a handler, whose `tx` is the tool's own, as it was. */
async function expectUnchanged<Tx>(crossing: Crossing, connect: Connect<Tx>): Promise<void> {
  const { tool, pool } = await connect()
  for (const statement of crossing.prepare) await pool.rows(statement)
  const waybill = await migrated(tool)
  const seen: unknown[] = []
  const options = { group: 'reader', from: 'oldest' } as const
  waybill.consume(Text, options, async (message, { tx }) => {
    seen.push([message.key, message.body])
    await tool.run(tx, crossing.insertSeen, [message.body.texts[0]!])
  })
  waybill.consume(Bytes, options, (message) => void seen.push(Buffer.from(message.body)))
  await waybill.start()
  try {
    await assert.rejects(
      tool.transaction(async (tx) => {
        await waybill.publish(tx, Text, { body: { ...body, texts: ['rolled back'] } })
        throw new Error('no')
      }),
    )
    await tool.transaction(async (tx) => {
      for (const setting of crossing.settings) await tool.run(tx, setting, [])
      await waybill.publish(tx, Text, { body, key })
      await waybill.publish(tx, Text, [
        { body, key },
        { body, key },
      ])
      await waybill.publish(tx, Bytes, [{ body: bytes }, { body: bytes }])
    })
    await waybill.transaction(async (tx) => void (await waybill.publish(tx, Bytes, { body: bytes })))
    await until('all six were handled', () => seen.length === 6)
  } finally {
    await waybill.stop()
  }
  const messages = seen.filter((one) => Array.isArray(one))
  expect(messages).toEqual(Array.from({ length: 3 }, () => [key, body]))
  expect(seen.filter((one) => Buffer.isBuffer(one))).toEqual(
    Array.from({ length: 3 }, () => Buffer.from(bytes)),
  )
  const rows = await pool.rows('select text from seen')
  expect(rows).toEqual(Array.from({ length: 3 }, () => ({ text: texts[0] })))
}

async function expectToldApart<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool } = await connect()
  const waybill = await migrated(tool)
  const ids = await waybill.transaction((tx) =>
    waybill.publish(
      tx,
      Text,
      folded.map((one) => ({ body, key: one, dedupKey: one })),
    ),
  )
  expect(new Set(ids).size).toBe(folded.length)
  for (const [i, one] of folded.entries())
    expect((await waybill.search({ key: one })).map(({ id }) => id)).toEqual([ids[i]])
  await waybill.stop()
}

async function expectRootRefused<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool } = await connect()
  const waybill = await migrated(tool)
  await expect(async () => waybill.publish(tool.root as Tx, Text, { body })).rejects.toMatchObject({
    code: 'publish.no-transaction',
  })
  expect(await waybill.search({ topic: Text.name })).toEqual([])
  await waybill.stop()
}
