import type { SqliteConnection } from './driver.ts'

const batch = 10_000

/**
 * Drops what is older than `before` and settled: messages that every reader of their queue has passed, receipts of dropped messages,
 * and the records about them. Exceptions and their copies stay. A topic without readers keeps everything.
 */
export function purge(connection: SqliteConnection, before: number): number {
  const dropped = connection.run(
    `delete from waybill_messages where pos in (
       select m.pos from waybill_messages m
       where m.published_at < ? and m.pos <= (select min(c.pos) from waybill_cursors c where c.topic = m.topic and c.queue = m.queue)
       order by m.pos limit ${batch})`,
    before,
  )
  connection.run(
    `delete from waybill_dispositions where state in ('done', 'discarded', 'filtered') and at < ?
       and not exists (select 1 from waybill_messages m where m.id = waybill_dispositions.message_id)`,
    before,
  )
  connection.run('delete from waybill_relay_batches where at < ? and to_pos < (select coalesce(min(pos), 9e15) from waybill_messages)', before)
  connection.run('delete from waybill_suppressed where at < ?', before)
  connection.run('delete from waybill_dedup_keys where expires_at < ?', before)
  return dropped
}
