import { dueReader } from '../../core/delayed.ts'
import type { PgAccess } from './access.ts'
import { arrayLiteral } from './column-values.ts'
import type { PgConnection } from './connection.ts'
import type { PgRow } from './driver.ts'
import { readersIn } from '../sql/groups.ts'
import { recordKeptSince } from '../sql/kept-since.ts'
import { takenAt } from './taken.ts'

/** Runs that one transaction looks at: short enough for writers that wait meanwhile. */
const runsMax = 200
const messagesMax = 10_000
const receiptPortion = 10_000

/**
 * Drops what is older than `before` and settled: messages that every reader of their queue has passed, receipts of dropped messages,
 * and the records about them. Exceptions and their copies stay. A topic without readers keeps everything.
 */
export async function purgePortion(
  access: PgAccess,
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
  { read, write }: PgAccess,
  before: number,
  receiptsBefore: number,
): Promise<number> {
  let dropped = 0
  let left = 0
  // The mover of due messages reads no log: a topic that only it has cursors in is one that nobody reads.
  const queues = await read.all(
    'select topic, queue, min(pos) as pos from waybill_cursors where reader <> ? group by topic, queue',
    dueReader,
  )
  for (const row of queues) {
    const params = [row['topic'], row['queue'], row['pos'], before] as const
    if ((await read.all(`${passedPlaces} limit 1`, ...params)).length === 0) continue
    dropped += await write(async (connection) => {
      // One after the other: what another purge has dropped meanwhile would shift what the next statement finds.
      await connection.all(
        'select pg_advisory_xact_lock(hashtextextended(?, 7261847007))',
        JSON.stringify([row['topic'], row['queue']]),
      )
      const found = await connection.all(`${passedPlaces} order by seq limit ${messagesMax}`, ...params)
      const positions = arrayLiteral(found.map(({ pos }) => pos))
      const places = found.map(({ seq }) => seq as number)
      left += await connection.run(
        leaveReceipts,
        positions,
        arrayLiteral(places),
        ...young(row, places, receiptsBefore),
      )
      const count = await connection.run(
        'delete from waybill_messages where pos = any ((?::text)::bigint[])',
        positions,
      )
      await connection.run(
        `delete from waybill_runs r where r.topic = ? and r.queue = ? and r.seq_to = any (array(${emptied}))`,
        row['topic'],
        row['queue'],
        row['topic'],
        row['queue'],
        row['pos'],
      )
      await connection.run(dropTaken, row['topic'], row['queue'], row['topic'], row['queue'], row['pos'])
      await recordKeptSince(connection, before)
      return count
    })
  }
  // It grows by what it has just got at once: plans made while it was empty would read all of it.
  if (left > 0) await read.all('analyze waybill_dispositions')
  return dropped
}

const oldestRuns = `(select * from waybill_runs where topic = ? and queue = ? order by seq_to limit ${runsMax}) r`

// One look into an index for each position, as a scalar: planned while the tables were small, a join reads all of the log.
/** The oldest of a queue that every reader has passed. */
const passedPlaces = `select p.pos, r.seq_from + p.ord - 1 as seq from ${oldestRuns}, unnest(r.positions) with ordinality p(pos, ord)
  where r.seq_from + p.ord - 1 <= ? and (select m.published_at from waybill_messages m where m.pos = p.pos) < ?`

/**
 * What was taken as a range is found by the log's rows: without them each needs a receipt of its own, unless it is so old that it would
 * be dropped at once: what is as old as that is not run if it comes again (P6). Nearly always all are, which the ranges tell sooner.
 */
const leaveReceipts = `insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, at)
  select l.reader, m.id, m.topic, m.queue, x.seq, 'done', waybill_digest(m.body, m.body_binary), t.at
    from unnest((?::text)::bigint[], (?::text)::bigint[]) as x(pos, seq)
    cross join lateral (select id, topic, queue, body, body_binary from waybill_messages where pos = x.pos offset 0) m
    join waybill_leases l on l.topic = m.topic and l.queue = m.queue
    cross join lateral (select ${takenAt('l.lane', 'x.seq')} as at offset 0) t
  where t.at >= ? and exists (select 1 from waybill_leases l where l.topic = ? and l.queue = ? and (
      exists (select 1 from waybill_taken t where t.lane = l.lane and t.seq_to between ?::bigint and ?::bigint and t.at >= ?)
      or (select t.at from waybill_taken t where t.lane = l.lane and t.seq_to > ?::bigint order by t.seq_to limit 1) >= ?))
  on conflict do nothing`

/** What `leaveReceipts` asks of the ranges that end within these places, and of the first that ends behind them. */
function young(
  { topic, queue }: PgRow,
  places: readonly number[],
  receiptsBefore: number,
): readonly (string | number)[] {
  const [first, last] = [places[0] ?? 0, places.at(-1) ?? 0]
  return [receiptsBefore, topic, queue, first, last, receiptsBefore, last, receiptsBefore]
}

/** Ranges that end before the first place that is left. */
const dropTaken = `delete from waybill_taken t using waybill_leases l where l.topic = ? and l.queue = ? and t.lane = l.lane
  and t.seq_to < coalesce((select seq_from from waybill_runs where topic = ? and queue = ? order by seq_to limit 1), ?::bigint + 1)`

/** Of the oldest runs that every reader has passed, those of which no message is left. */
const emptied = `select r.seq_to from ${oldestRuns} where r.seq_to <= ? and not exists (
    select 1 from unnest(r.positions) p(pos) where (select m.pos from waybill_messages m where m.pos = p.pos) is not null)`

/** In the order of their key: an index by time would cost every receipt more than a look at all of them now and then. */
async function purgeReceipts({ read, write }: PgAccess, receiptsBefore: number): Promise<void> {
  const outlived = `d.grp = ? and d.message_id > ? and d.message_id <= ? and d.state in ('done', 'discarded', 'filtered') and d.at < ?
    and (select m.pos from waybill_messages m where m.id = d.message_id) is null`
  for (const group of await readersIn(read)) {
    for (let after = ''; ;) {
      const upTo = await lastOfPortion(read, group, after)
      const params = [group, after, upTo ?? endOfKeys, receiptsBefore] as const
      const some = await read.all(`select 1 from waybill_dispositions d where ${outlived} limit 1`, ...params)
      if (some.length > 0)
        await write((connection) =>
          connection.run(`delete from waybill_dispositions d where ${outlived}`, ...params),
        )
      if (upTo === undefined) break
      after = upTo
    }
  }
}

/** Sorts after every id. */
const endOfKeys = '\uffff'

async function lastOfPortion(
  connection: PgConnection,
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

async function purgeRecords(connection: PgConnection, before: number): Promise<void> {
  const statements = [
    `delete from waybill_relay_batches b where at < ? and not exists (
       select 1 from waybill_runs r where r.topic = b.topic and r.queue = b.queue and r.seq_from <= b.to_pos)`,
    'delete from waybill_suppressed where at < ?',
    'delete from waybill_dedup_keys where expires_at < ?',
    "delete from waybill_halves where state in ('committed', 'rolled-back') and decided_at < ?",
    'delete from waybill_ended where at < ?',
    'delete from waybill_redrive_items where job_id in (select id from waybill_redrives where ended_at < ?)',
    'delete from waybill_redrives where ended_at < ?',
  ]
  for (const statement of statements) await connection.run(statement, before)
}
