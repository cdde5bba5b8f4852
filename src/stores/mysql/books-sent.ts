import type { CarriedMessage, SentMessage, SentPage } from '../../core/books.ts'
import type { MessageId } from '../../core/ids.ts'
import type { MyConnection } from './connection.ts'
import { placeOf } from './log.ts'
import { texts, valuesOf } from './rows.ts'

/** The ends of all queues at one moment, in the order of topics and queues. */
export type Ends = readonly { readonly topic: string; readonly queue: number; readonly seq: number }[]

/** Messages that one snapshot looks at: some hundred milliseconds. */
const portion = 20_000
const relay = '@relay'

const sentInQueue = `select m.seq, m.id, m.source is null and coalesce(d.state, 'done') not in ('retrying', 'held', 'dead', 'discarded') as is_sent
  from waybill_messages m force index (by_sequence) left join waybill_dispositions d on d.grp = '${relay}' and d.message_id = m.id
  where m.topic = ? and m.queue = ? and m.seq > ? and m.seq <= ? order by m.seq limit ${portion}`

/**
 * One queue after the other, each up to its end at the watermark: `after` counts the places of all of them. What was refused, redriven
 * or given up counts as sent once it was.
 */
export async function sentPortion(connection: MyConnection, ends: Ends, after: number): Promise<SentPage> {
  let before = 0
  for (const { topic, queue, seq } of ends) {
    const from = after - before
    if (from >= seq) {
      before += seq
      continue
    }
    const [cursor] = await connection.all(
      'select pos from waybill_cursors where reader = ? and topic = ? and queue = ?',
      relay,
      topic,
      queue,
    )
    const upTo = Math.min(seq, (cursor?.['pos'] as number | undefined) ?? 0)
    const rows = upTo <= from ? [] : await connection.all(sentInQueue, topic, queue, from, upTo)
    const ids = rows.filter((row) => row['is_sent'] === 1).map((row) => row['id'] as MessageId)
    const isWhole = rows.length < portion
    const next = before + (isWhole ? seq : (rows.at(-1)!['seq'] as number))
    return {
      queues: ids.length === 0 ? [] : [{ topic, queue, ids }],
      next: isEnd(ends, next) ? undefined : next,
    }
  }
  return { queues: [], next: undefined }
}

function isEnd(ends: Ends, place: number): boolean {
  return place >= ends.reduce((sum, { seq }) => sum + seq, 0)
}

export async function lacking(
  connection: MyConnection,
  ids: readonly MessageId[],
): Promise<readonly MessageId[]> {
  // Dropped from the log, and yet known: handled, or still to be.
  const rows = await connection.all(
    `select j.value as id from ${valuesOf('varchar(255)')} j
     where not exists (select 1 from waybill_messages m where m.id = j.value)
       and not exists (select 1 from waybill_copies k where k.id = j.value)
       and not exists (select 1 from waybill_groups g straight_join waybill_dispositions d on d.grp = g.name and d.message_id = j.value)`,
    JSON.stringify(ids),
  )
  return rows.map((row) => row['id'] as MessageId)
}

export async function describe(
  connection: MyConnection,
  ids: readonly MessageId[],
): Promise<readonly SentMessage[]> {
  const rows = await connection.all(
    `select m.*, b.at, b.transport, b.proof, d.at as resent_at from (
         select m.id, m.msg_key, m.topic, m.queue, m.published_at, m.eligible_at, ${placeOf('m')} as place
         from waybill_messages m where m.id in (${texts})
       ) m left join waybill_relay_batches b on b.topic = m.topic and b.queue = m.queue and b.to_pos >= m.place and b.from_pos = (
         select max(f.from_pos) from waybill_relay_batches f where f.topic = m.topic and f.queue = m.queue and f.from_pos <= m.place
       ) left join waybill_dispositions d on d.grp = '${relay}' and d.message_id = m.id`,
    JSON.stringify(ids),
  )
  return rows.map((row) => ({
    id: row['id'],
    key: row['msg_key'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['place'],
    publishedAt: row['published_at'],
    eligibleAt: row['eligible_at'],
    sentAt: row['resent_at'] ?? row['at'],
    resent: row['resent_at'] !== null,
    transport: row['transport'],
    proof: row['proof'],
  }))
}

export async function carried(
  connection: MyConnection,
  ids: readonly MessageId[],
): Promise<readonly CarriedMessage[]> {
  const rows = await connection.all(
    `select m.id, m.queue, m.place, count(c.reader) as services, coalesce(sum(c.pos < m.place), 0) as unfetched,
         coalesce(sum(c.start_pos >= m.place), 0) as not_owed
       from (select m.id, m.topic, m.queue, ${placeOf('m')} as place from waybill_messages m where m.id in (${texts})) m
         left join waybill_cursors c on c.topic = m.topic and c.queue = m.queue and c.reader like '@land:%'
       group by m.id, m.queue, m.place`,
    JSON.stringify(ids),
  )
  return rows.map((row) => ({
    id: row['id'],
    queue: row['queue'],
    position: row['place'],
    services: row['services'],
    unfetched: row['unfetched'],
    notOwed: row['not_owed'],
  }))
}
