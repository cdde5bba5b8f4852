import type { CarriedMessage, SentMessage, SentPage } from '../../core/books.ts'
import type { MessageId } from '../../core/ids.ts'
import type { PgConnection } from './connection.ts'
import { placeOf } from './places.ts'
import { texts } from './rows.ts'

/** Messages that one snapshot looks at: some hundred milliseconds. */
const portion = 20_000
const relay = '@relay'

const lastRun = `select max(n) as n from (
    select n, sum(seq_to - seq_from + 1) over (order by n) - (seq_to - seq_from + 1) as before from (
      select n, seq_from, seq_to from waybill_runs where n > ? and n <= ? order by n limit ${portion}
    ) listed
  ) runs where before < ${portion}`
const sentInRuns = `select r.topic, r.queue, m.id from waybill_runs r
    join waybill_cursors c on c.reader = '${relay}' and c.topic = r.topic and c.queue = r.queue
    cross join lateral unnest(r.positions) with ordinality p(pos, ord)
    cross join lateral (select id, source from waybill_messages where pos = p.pos offset 0) m
  where r.n > ? and r.n <= ? and r.seq_from + p.ord - 1 <= c.pos and m.source is null
    and coalesce((select d.state from waybill_dispositions d where d.grp = '${relay}' and d.message_id = m.id), 'done')
      not in ('retrying', 'held', 'dead', 'discarded')
  order by r.n, p.ord`

/** By run: exactly what was in sequence at the watermark. What was refused, redriven or given up counts as sent once it was. */
export async function sentPortion(
  connection: PgConnection,
  watermark: number,
  after: number,
): Promise<SentPage> {
  const [last] = await connection.all(lastRun, after, watermark)
  const upTo = last!['n'] as number | null
  if (upTo === null) return { queues: [], next: undefined }
  const queues = new Map<string, { topic: string; queue: number; ids: MessageId[] }>()
  for (const row of await connection.all(sentInRuns, after, upTo)) {
    const { topic, queue, id } = row as { topic: string; queue: number; id: MessageId }
    const name = `${topic}/${queue}`
    const known = queues.get(name) ?? { topic, queue, ids: [] }
    known.ids.push(id)
    queues.set(name, known)
  }
  return { queues: [...queues.values()], next: upTo < watermark ? upTo : undefined }
}

/** A list of ids as rows, each looked up in the log by its index. */
const asked = `(${texts}) j(id) cross join lateral (select * from waybill_messages where id = j.id offset 0) m`

export async function lacking(
  connection: PgConnection,
  ids: readonly MessageId[],
): Promise<readonly MessageId[]> {
  // Dropped from the log, and yet known: handled, or still to be.
  const rows = await connection.all(
    `select j.id from (${texts}) j(id)
     where not exists (select 1 from waybill_messages m where m.id = j.id offset 0)
       and not exists (select 1 from waybill_copies k where k.id = j.id offset 0)
       and not exists (select 1 from waybill_groups g, waybill_dispositions d where d.grp = g.name and d.message_id = j.id offset 0)`,
    JSON.stringify(ids),
  )
  return rows.map((row) => row['id'] as MessageId)
}

export async function describe(
  connection: PgConnection,
  ids: readonly MessageId[],
): Promise<readonly SentMessage[]> {
  const rows = await connection.all(
    `select m.*, b.at, b.transport, b.proof, d.at as resent_at from (
         select m.id, m.key, m.topic, m.queue, m.published_at, m.eligible_at, ${placeOf('m')} as seq from ${asked} offset 0
       ) m left join lateral (
         select * from waybill_relay_batches where topic = m.topic and queue = m.queue and from_pos <= m.seq order by from_pos desc limit 1
       ) b on b.to_pos >= m.seq
       left join lateral (select at from waybill_dispositions where grp = '${relay}' and message_id = m.id offset 0) d on true`,
    JSON.stringify(ids),
  )
  return rows.map((row) => ({
    id: row['id'],
    key: row['key'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['seq'],
    publishedAt: row['published_at'],
    eligibleAt: row['eligible_at'],
    sentAt: row['resent_at'] ?? row['at'],
    resent: row['resent_at'] !== null,
    transport: row['transport'],
    proof: row['proof'],
  }))
}

export async function carried(
  connection: PgConnection,
  ids: readonly MessageId[],
): Promise<readonly CarriedMessage[]> {
  const rows = await connection.all(
    `select m.id, m.queue, m.seq, count(c.reader) as services, count(*) filter (where c.pos < m.seq) as unfetched,
         count(*) filter (where c.start_pos >= m.seq) as not_owed
       from (select m.id, m.topic, m.queue, ${placeOf('m')} as seq from ${asked} offset 0) m
         left join waybill_cursors c on c.topic = m.topic and c.queue = m.queue and c.reader like '@land:%'
       group by m.id, m.queue, m.seq`,
    JSON.stringify(ids),
  )
  return rows.map((row) => ({
    id: row['id'],
    queue: row['queue'],
    position: row['seq'],
    services: row['services'],
    unfetched: row['unfetched'],
    notOwed: row['not_owed'],
  }))
}
