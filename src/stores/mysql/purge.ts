import { dueReader } from '../../core/delayed.ts'
import type { MyAccess } from './access.ts'
import type { MyConnection } from './connection.ts'
import { lockOf, takeLocks } from './locks.ts'
import { readersIn } from '../sql/groups.ts'
import { recordKeptSince } from '../sql/kept-since.ts'

/** Messages that one transaction drops: short enough for writers that wait meanwhile. */
const portion = 2_000
const receiptPortion = 10_000

/**
 * Drops what is older than `before` and settled: messages that every reader of their queue has passed, receipts of dropped messages,
 * and the records about them. Exceptions and their copies stay. A topic without readers keeps everything.
 */
export async function purgePortion(
  access: MyAccess,
  before: number,
  receiptsBefore: number,
): Promise<number> {
  const dropped = await purgeMessages(access, before, receiptsBefore)
  if (dropped > 0) return dropped
  await purgeReceipts(access, receiptsBefore)
  await access.write((connection) => purgeRecords(connection, before))
  return 0
}

async function purgeMessages(
  { read, write }: MyAccess,
  before: number,
  receiptsBefore: number,
): Promise<number> {
  let dropped = 0
  // The mover of due messages reads no log: a topic that only it has cursors in is one that nobody reads.
  const queues = await read.all(
    'select topic, queue, min(pos) as pos from waybill_cursors where reader <> ? group by topic, queue',
    dueReader,
  )
  for (const row of queues) {
    const queue = [row['topic'] as string, row['queue'] as number] as const
    const params = [...queue, row['pos'] as number, before] as const
    if ((await read.all(`select 1 from waybill_messages where ${passed} limit 1`, ...params)).length === 0)
      continue
    dropped += await write(async (connection) => {
      // One after the other: what another purge has dropped meanwhile would shift what the next statement finds.
      await takeLocks(connection, [lockOf('purge', JSON.stringify(queue))])
      const [found] = await connection.all(
        `select min(seq) as first, max(seq) as last from (select seq from waybill_messages where ${passed} order by seq limit ${portion}) found`,
        ...params,
      )
      const { first, last } = found as { first: number | null; last: number | null }
      if (first === null || last === null) return 0
      await connection.run(leaveReceipts, ...queue, first, last, receiptsBefore, before)
      const count = await connection.run(
        `delete from waybill_messages where ${passed} order by seq limit ${portion}`,
        ...params,
      )
      await dropTaken(connection, queue, row['pos'])
      await recordKeptSince(connection, before)
      return count
    })
  }
  return dropped
}

/** Those of a queue that every reader has passed. */
const passed = 'topic = ? and queue = ? and seq > 0 and seq <= ? and published_at < ?'

/**
 * What was taken is found by the log's rows: without them each needs a receipt of its own, unless it is so old that it would be dropped
 * at once: what is as old as that is not run if it comes again (P6).
 */
const leaveReceipts = `insert ignore into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, at)
  select l.reader, m.id, m.topic, m.queue, m.seq, 'done', m.body_hash, t.at from waybill_leases l
    straight_join waybill_taken t on t.lane = l.lane
    straight_join waybill_messages m force index (by_sequence) on m.topic = l.topic and m.queue = l.queue and m.seq = t.seq
  where l.topic = ? and l.queue = ? and t.seq >= ? and t.seq <= ? and t.at >= ? and m.published_at < ?`

/** Places before the first that is left. */
async function dropTaken(
  connection: MyConnection,
  queue: readonly [string, number],
  passedBy: number,
): Promise<void> {
  const [left] = await connection.all(
    'select min(seq) as seq from waybill_messages where topic = ? and queue = ? and seq > 0',
    ...queue,
  )
  const first = (left!['seq'] as number | null) ?? passedBy + 1
  const lanes = await connection.all(
    'select lane from waybill_leases where topic = ? and queue = ?',
    ...queue,
  )
  for (const { lane } of lanes)
    await connection.run('delete from waybill_taken where lane = ? and seq < ?', lane, first)
}

/** In the order of their key: an index by time would cost every receipt more than a look at all of them now and then. */
async function purgeReceipts({ read, write }: MyAccess, receiptsBefore: number): Promise<void> {
  const outlived = `d.grp = ? and d.message_id > ? and d.message_id <= ? and d.state in ('done', 'discarded', 'filtered') and d.at < ?
    and not exists (select 1 from waybill_messages m where m.id = d.message_id)`
  for (const group of await readersIn(read)) {
    for (let after = ''; ;) {
      const upTo = await lastOfPortion(read, group, after)
      const params = [group, after, upTo ?? endOfKeys, receiptsBefore] as const
      const some = await read.all(`select 1 from waybill_dispositions d where ${outlived} limit 1`, ...params)
      if (some.length > 0)
        await write((connection) =>
          connection.run(`delete d from waybill_dispositions d where ${outlived}`, ...params),
        )
      if (upTo === undefined) break
      after = upTo
    }
  }
}

/** Sorts after every id. */
const endOfKeys = '\u{10ffff}'

async function lastOfPortion(
  connection: MyConnection,
  group: string,
  after: string,
): Promise<string | undefined> {
  const [row] = await connection.all(
    `select message_id from waybill_dispositions where grp = ? and message_id > ? order by message_id limit 1 offset ${receiptPortion - 1}`,
    group,
    after,
  )
  return row?.['message_id'] as string | undefined
}

async function purgeRecords(connection: MyConnection, before: number): Promise<void> {
  const statements = [
    `delete b from waybill_relay_batches b where b.at < ? and not exists (
       select 1 from waybill_messages m where m.topic = b.topic and m.queue = b.queue and m.seq > 0 and m.seq <= b.to_pos)`,
    'delete from waybill_suppressed where at < ?',
    'delete from waybill_dedup_keys where expires_at < ?',
    "delete from waybill_halves where state in ('committed', 'rolled-back') and decided_at < ?",
    'delete from waybill_ended where at < ?',
    'delete i from waybill_redrive_items i join waybill_redrives r on r.id = i.job_id where r.ended_at < ?',
    'delete from waybill_redrives where ended_at < ?',
  ]
  for (const statement of statements) await connection.run(statement, before)
}
