import type { SqliteConnection } from './driver.ts'

/** Rows that one transaction looks at: short enough for writers that wait meanwhile. */
const portion = 2_000
const receiptPortion = 10_000
/** Receipts are kept this much longer than messages: they are judged by another clock than the message's eligibleAt (P6). */
const receiptMarginMs = 24 * 3_600_000

/** The oldest of a queue that every reader has passed. Looked for on the read connection first, so that nothing to do writes nothing. */
const passed = `select pos from (
  select pos, published_at from waybill_messages where topic = ? and queue = ? and pos <= ? order by pos limit ${portion}
) where published_at < ?`

export interface Purge {
  readonly reader: SqliteConnection
  readonly before: number
  write<R>(work: (connection: SqliteConnection) => R): Promise<R>
  /** Lets others have their turn. */
  breathe(): Promise<void>
}

/**
 * Drops what is older than `before` and settled: messages that every reader of their queue has passed, receipts of dropped messages,
 * and the records about them. Exceptions and their copies stay. A topic without readers keeps everything.
 */
export async function purge(purge: Purge): Promise<number> {
  const dropped = await purgeMessages(purge)
  if (dropped > 0) return dropped
  await purgeReceipts(purge)
  await purge.write((connection) => purgeRecords(connection, purge.before))
  return 0
}

async function purgeMessages({ reader, before, write, breathe }: Purge): Promise<number> {
  let dropped = 0
  const queues = reader.all('select topic, queue, min(pos) as pos from waybill_cursors group by topic, queue')
  for (const { topic, queue, pos } of queues) {
    const params = [topic!, queue!, pos!, before] as const
    if (reader.all(`${passed} limit 1`, ...params).length === 0) continue
    dropped += await write((connection) =>
      connection.run(`delete from waybill_messages where pos in (${passed})`, ...params),
    )
    await breathe()
  }
  return dropped
}

/** In the order of their key: an index by time would cost every receipt more than a look at all of them now and then. */
async function purgeReceipts({ reader, before, write, breathe }: Purge): Promise<void> {
  const outlived = `(grp, message_id) > (?, ?) and (grp, message_id) <= (?, ?)
    and state in ('done', 'discarded', 'filtered') and at < ?
    and not exists (select 1 from waybill_messages m where m.id = waybill_dispositions.message_id)`
  let after: readonly [string, string] | undefined = ['', '']
  while (after) {
    const last = lastOfPortion(reader, after)
    if (!last) return
    const params = [...after, ...last.key, before - receiptMarginMs] as const
    const some =
      reader.all(`select 1 from waybill_dispositions where ${outlived} limit 1`, ...params).length > 0
    if (some)
      await write((connection) =>
        connection.run(`delete from waybill_dispositions where ${outlived}`, ...params),
      )
    await breathe()
    after = last.isEnd ? undefined : last.key
  }
}

function lastOfPortion(
  reader: SqliteConnection,
  after: readonly [string, string],
): { key: readonly [string, string]; isEnd: boolean } | undefined {
  const next = `from waybill_dispositions where (grp, message_id) > (?, ?) order by grp, message_id limit ${receiptPortion}`
  const [row] = reader.all(
    `select grp, message_id, n from (select grp, message_id, row_number() over () as n ${next}) order by n desc limit 1`,
    ...after,
  )
  return (
    row && {
      key: [row['grp'] as string, row['message_id'] as string],
      isEnd: (row['n'] as number) < receiptPortion,
    }
  )
}

function purgeRecords(connection: SqliteConnection, before: number): void {
  connection.run(
    'delete from waybill_relay_batches where at < ? and to_pos < (select coalesce(min(pos), 9e15) from waybill_messages)',
    before,
  )
  connection.run('delete from waybill_suppressed where at < ?', before)
  connection.run('delete from waybill_dedup_keys where expires_at < ?', before)
}
