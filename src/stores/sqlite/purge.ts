import { dueReader } from '../../core/delayed.ts'
import type { SqliteConnection } from './driver.ts'
import { readersIn } from './groups.ts'
import { recordKeptSince } from './kept-since.ts'

/** Rows that one transaction looks at: short enough for writers that wait meanwhile. */
const portion = 2_000
const receiptPortion = 10_000

/** The oldest of a queue that every reader has passed. Looked for on the read connection first, so that nothing to do writes nothing. */
const passed = `select pos from (
  select pos, published_at from waybill_messages where topic = ? and queue = ? and pos <= ? order by pos limit ${portion}
) where published_at < ?`

export interface Purge {
  readonly reader: SqliteConnection
  readonly before: number
  readonly receiptsBefore: number
  write<R>(work: (connection: SqliteConnection) => R): Promise<R>
  /** Lets others have their turn. */
  breathe(): Promise<void>
}

/**
 * Drops what is older than `before` and settled: messages that every reader of their queue has passed, receipts of dropped messages,
 * and the records about them. Exceptions and their copies stay. A topic without readers keeps everything.
 */
export async function purgePortion(purge: Purge): Promise<number> {
  const dropped = await purgeMessages(purge)
  if (dropped > 0) return dropped
  await purgeReceipts(purge)
  await purge.write((connection) => purgeRecords(connection, purge.before))
  return 0
}

async function purgeMessages({ reader, before, write, breathe }: Purge): Promise<number> {
  let dropped = 0
  // The mover of due messages reads no log: a topic that only it has cursors in is one that nobody reads.
  const queues = reader.all(
    'select topic, queue, min(pos) as pos from waybill_cursors where reader <> ? group by topic, queue',
    dueReader,
  )
  for (const { topic, queue, pos } of queues) {
    const params = [topic!, queue!, pos!, before] as const
    if (reader.all(`${passed} limit 1`, ...params).length === 0) continue
    dropped += await write((connection) => {
      recordKeptSince(connection, before)
      return connection.run(`delete from waybill_messages where pos in (${passed})`, ...params)
    })
    await breathe()
  }
  return dropped
}

/** In the order of their key: an index by time would cost every receipt more than a look at all of them now and then. */
async function purgeReceipts({ reader, receiptsBefore, write, breathe }: Purge): Promise<void> {
  const outlived = `grp = ? and message_id > ? and message_id <= ? and state in ('done', 'discarded', 'filtered') and at < ?
    and not exists (select 1 from waybill_messages m where m.id = waybill_dispositions.message_id)`
  for (const group of readersIn(reader)) {
    for (let after = ''; ;) {
      const upTo = lastOfPortion(reader, group, after)
      const params = [group, after, upTo ?? endOfKeys, receiptsBefore] as const
      const some =
        reader.all(`select 1 from waybill_dispositions where ${outlived} limit 1`, ...params).length > 0
      if (some)
        await write((connection) =>
          connection.run(`delete from waybill_dispositions where ${outlived}`, ...params),
        )
      await breathe()
      if (upTo === undefined) break
      after = upTo
    }
  }
}

/** Sorts after every id. */
const endOfKeys = '\uffff'

function lastOfPortion(reader: SqliteConnection, group: string, after: string): string | undefined {
  const [row] = reader.all(
    `select message_id from waybill_dispositions where grp = ? and message_id > ? order by message_id limit 1 offset ${receiptPortion - 1}`,
    group,
    after,
  )
  return row?.['message_id'] as string | undefined
}

function purgeRecords(connection: SqliteConnection, before: number): void {
  connection.run(
    'delete from waybill_relay_batches where at < ? and to_pos < (select coalesce(min(pos), 9e15) from waybill_messages)',
    before,
  )
  connection.run('delete from waybill_suppressed where at < ?', before)
  connection.run('delete from waybill_dedup_keys where expires_at < ?', before)
  connection.run(
    "delete from waybill_halves where state in ('committed', 'rolled-back') and decided_at < ?",
    before,
  )
  if (connection.run('delete from waybill_ended where at < ?', before) > 0)
    recordKeptSince(connection, before)
  connection.run(
    'delete from waybill_redrive_items where job_id in (select id from waybill_redrives where ended_at < ?)',
    before,
  )
  connection.run('delete from waybill_redrives where ended_at < ?', before)
}
