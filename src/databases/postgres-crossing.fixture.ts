import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import { Waybill, binary, topic } from '../index.ts'
import { silentLog } from '../core/log.ts'
import { until } from '../testing/until.ts'
import type { ConnectedTool } from './connected-tool.fixture.ts'

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

const Text = topic<typeof body>('crossing.text_1-a.b')
const Bytes = topic('crossing.bytes', binary)

type Connect<Tx> = () => Promise<{ readonly tool: ConnectedTool<Tx>; readonly pool: Pool }>
const unanswered = 'a COMMIT that was not answered is told apart from one that failed'

/** What goes in through the tool's own transaction comes out of a handler, whose `tx` is the tool's own, as it was. */
export function testCrossing<Tx>(connect: Connect<Tx>): void {
  test('bodies, keys and topics come through unchanged; what is rolled back does not', async () => {
    const { tool, pool } = await connect()
    await pool.query('create table seen (text text not null, at timestamptz default now())')
    const waybill = new Waybill({
      service: 'order',
      database: tool.database({}),
      migrate: 'auto',
      log: silentLog,
    })
    const seen: unknown[] = []
    const options = { group: 'reader', from: 'oldest' } as const
    waybill.consume(Text, options, async (message, { tx }) => {
      seen.push([message.key, message.body])
      await tool.run(tx, 'insert into seen (text) values ($1)', [message.body.texts[0]!])
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
    const { rows } = await pool.query('select text from seen')
    expect(rows).toEqual(Array.from({ length: 3 }, () => ({ text: texts[0] })))
  })
}

/** What must not be stored is not, and what may have been is said to be so. */
export function testFailing<Tx>(connect: Connect<Tx>, isCommitClaimed: boolean): void {
  test('P32: publish refuses the handle outside of transactions, and stores nothing', async () => {
    const { tool } = await connect()
    const waybill = new Waybill({ service: 'shop', database: tool.database({}), log: silentLog })
    await expect(async () => waybill.publish(tool.root as Tx, Text, { body })).rejects.toMatchObject({
      code: 'publish.no-transaction',
    })
    expect(await waybill.search({ topic: Text.name })).toEqual([])
    await waybill.stop()
  })

  test('a statement that failed and was swallowed commits nothing', async () => {
    const { tool, pool } = await connect()
    const waybill = new Waybill({ service: 'swallow', database: tool.database({}), log: silentLog })
    const transaction = waybill.transaction(async (tx) => {
      await waybill.publish(tx, Text, { body })
      await tool.run(tx, 'select 1/0', []).catch(() => {})
    })
    await expect(transaction).rejects.toThrow(/store.transaction-failed|division by zero/)
    const { rows } = await pool.query("select 1 from waybill_messages where service = 'swallow'")
    expect(rows).toEqual([])
    await waybill.stop()
  })
  const declare = isCommitClaimed ? test : test.skip
  declare(
    `${unanswered}${isCommitClaimed ? '' : ' (not claimed: the tool never gives such a connection back)'}`,
    async () => {
      const { tool, pool } = await connect()
      await pool.query(atCommit)
      const waybill = new Waybill({ service: 'commit', database: tool.database({}), log: silentLog })
      const commit = (text: string): Promise<unknown> =>
        waybill.transaction((tx) => tool.run(tx, 'insert into at_commit (text) values ($1)', [text]))
      await expect(commit('die')).rejects.toMatchObject({ code: 'store.commit-unknown' })
      await expect(commit('fail')).rejects.not.toMatchObject({ code: 'store.commit-unknown' })
      await commit('pass')
      const { rows } = await pool.query('select text from at_commit')
      expect(rows).toEqual([{ text: 'pass' }])
      await waybill.stop()
    },
  )
}

/** The trigger runs in COMMIT: it kills the connection, fails, or does nothing. */
const atCommit = `
create table at_commit (text text not null);
create function at_commit() returns trigger language plpgsql as $$
begin
  if new.text = 'die' then perform pg_terminate_backend(pg_backend_pid()); end if;
  if new.text = 'fail' then perform 1 / 0; end if;
  return null;
end $$;
create constraint trigger at_commit after insert on at_commit
  deferrable initially deferred for each row execute function at_commit()`
