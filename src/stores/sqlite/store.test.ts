import { mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { OpenDatabase } from '../../core/database.ts'
import type { Lease, SearchQuery } from '../../core/store.ts'
import { sqlite } from '../../databases/sqlite.ts'
import { testPorts } from '../../testing/ports.ts'
import type { Row, SqliteConnection, SqliteTx } from './driver.ts'
import { queriesOf } from './search-queries.ts'

const topic = { name: 'order.paid', queues: 1 }
const ports = testPorts()
let folder: string
let database: OpenDatabase<SqliteTx>

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waybill-store-'))
  database = sqlite(join(folder, 'x.db')).open(ports, { service: 'order', migrate: 'auto' })
})
afterEach(async () => {
  await database.close()
  rmSync(folder, { recursive: true, force: true })
})

function rows(sql: string): Promise<Row[]> {
  return database.transaction({ work: (tx) => tx.prepare(sql).all() as Row[] })
}

async function publish(count: number): Promise<void> {
  const messages = Array.from({ length: count }, () => ({
    id: ports.ids.message(),
    service: 'order',
    topic: topic.name,
    tag: null,
    key: 'k',
    shardingKey: null,
    headers: {},
    body: '1',
    bodyHash: 'h',
    publishedAt: ports.clock.now(),
    eligibleAt: ports.clock.now(),
    dedupKey: null,
  }))
  await database.transaction({ work: (tx) => void database.store.append(tx, messages, [topic]) })
}

async function leaseOf(reader: string): Promise<Lease> {
  await database.store.declareReader(reader, [topic], 'oldest')
  const membership = { reader, version: 1, queues: [{ topic: topic.name, queue: 0 }], runningMax: 10 }
  const [share] = await database.store.share(ports.ids.owner(), [membership], 10_000)
  return share!.leases[0]!
}

/** How SQLite would answer a search: per query the steps of its plan. */
function plansOf(query: SearchQuery): Promise<string[][]> {
  return database.transaction({
    work: (tx) => {
      const all = (sql: string, ...params: readonly unknown[]): Row[] =>
        tx.prepare(sql).all(...params) as Row[]
      return queriesOf({ all } as unknown as SqliteConnection, query).map(({ sql, params }) =>
        all(`explain query plan ${sql} limit 100`, ...params).map((row) => String(row['detail'])),
      )
    },
  })
}

test('redrives and discards are kept with who did them and why', async () => {
  await publish(2)
  const lease = await leaseOf('coupon')
  const messages = await database.store.read(lease, 0, 10)
  await database.store.settle(
    lease,
    messages.map((message) => ({ message, state: 'dead', attempts: 1 })),
  )
  const [first, second] = messages.map(({ id }) => ({ group: 'coupon', id }))
  await database.store.redrive([first!], { by: 'ann', because: 'the bank is back' })
  await database.store.discardDead([second!, first!], { by: 'bob', because: 'too old' })
  expect(
    await rows('select actor, because, action, grp, message_id from waybill_audit order by rowid'),
  ).toEqual([
    { actor: 'ann', because: 'the bank is back', action: 'redrive', grp: 'coupon', message_id: first!.id },
    { actor: 'bob', because: 'too old', action: 'discard', grp: 'coupon', message_id: second!.id },
  ])
})

test('what a relay sent is kept with the carrier’s last proof', async () => {
  await publish(4)
  const lease = await leaseOf('@relay')
  const positions = (await database.store.read(lease, 0, 10)).map(({ position }) => position)
  const from = positions[0]!
  await database.store.advance(lease, positions[1]!, {
    transport: 'database',
    from,
    count: 2,
    proof: 'first answer',
  })
  await database.store.advance(lease, positions[2]!, {
    transport: 'database',
    from,
    count: 3,
    proof: 'second answer',
  })
  expect(
    await rows('select topic, queue, from_pos, to_pos, count, transport, proof from waybill_relay_batches'),
  ).toEqual([
    {
      topic: topic.name,
      queue: 0,
      from_pos: from,
      to_pos: positions[2],
      count: 3,
      transport: 'database',
      proof: 'second answer',
    },
  ])
})

test('a publish that was suppressed is kept with its cause', async () => {
  const message = {
    id: ports.ids.message(),
    service: 'order',
    topic: topic.name,
    tag: null,
    key: null,
    shardingKey: null,
    headers: {},
    body: '1',
    bodyHash: 'h',
    publishedAt: ports.clock.now(),
    eligibleAt: ports.clock.now(),
    dedupKey: 'pay-42',
  }
  for (const id of [message.id, ports.ids.message()])
    await database.transaction({
      work: (tx) => void database.store.append(tx, [{ ...message, id }], [topic]),
    })
  expect(await rows('select message_id, cause from waybill_suppressed')).toEqual([
    { message_id: message.id, cause: 'published-again' },
  ])
})

test('a read that finds the file damaged says so with a code', async () => {
  await publish(50)
  const lease = await leaseOf('coupon')
  await database.close()
  const damaged = sqlite(join(folder, 'x.db')).open(ports, { service: 'order', migrate: 'auto' })
  try {
    truncateSync(join(folder, 'x.db'), 4_096 * 3)
    await expect(damaged.store.read(lease, 0, 100)).rejects.toMatchObject({ code: 'store.corrupt' })
  } finally {
    await damaged.close()
  }
})

describe('searches read from an index and stop at their limit', () => {
  const times = { since: new Date(1), until: new Date(2) }
  const queries: SearchQuery[] = [
    {},
    { topic: 'order.paid' },
    { group: 'coupon' },
    { group: 'coupon', topic: 'order.paid' },
    times,
    { topic: 'order.paid', ...times },
    { state: 'waiting' },
    { state: 'waiting', group: 'coupon' },
    { state: 'in-transit' },
    { state: 'done' },
    { state: 'done', topic: 'order.paid' },
    { state: 'done', ...times },
    { state: 'dead' },
    { state: 'filtered', group: 'coupon', topic: 'order.paid' },
    { state: 'held', ...times },
  ]

  test.each(queries.map((query) => [JSON.stringify(query), query] as const))('%s', async (_, query) => {
    await publish(1)
    await leaseOf('coupon')
    await leaseOf('@relay')
    const plans = await plansOf(query)
    expect(plans.length).toBeGreaterThan(0)
    // Copies are the exceptions only, so that sorting them is no matter.
    const details = plans.filter((plan) => !plan.some((detail) => detail.includes('waybill_copies'))).flat()
    expect(
      details.filter(
        (detail) =>
          detail.includes('TEMP B-TREE') || (/^SCAN [md]\b/.test(detail) && !detail.includes('INDEX')),
      ),
    ).toEqual([])
  })

  test.each([
    { id: ports.ids.message() },
    { key: 'k' },
    { key: 'k', state: 'waiting' },
    { key: 'k', state: 'done' },
    { key: 'k', state: 'dead', topic: 'order.paid' },
  ] as SearchQuery[])('%j begins at the message', async (query) => {
    await leaseOf('coupon')
    const plans = await plansOf(query)
    for (const [first] of plans)
      expect(first).toMatch(
        /^SEARCH m USING INDEX waybill_messages_by_(?:id|key)|^SEARCH waybill_copies USING INDEX waybill_copies_by_(?:id|key)/,
      )
  })
})
