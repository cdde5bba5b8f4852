import type {
  BookCount,
  BookFault,
  BookOffender,
  BookOpening,
  BookPage,
  BookReader,
  BookStore,
} from '../../core/books.ts'
import type { PgAccess } from './access.ts'
import { carried, describe, lacking, sentPortion } from './books-sent.ts'
import type { PgConnection } from './connection.ts'
import type { PgRow } from './driver.ts'
import { topicNamesOf } from '../sql/fact-rows.ts'
import { landedFacts } from '../sql/facts.ts'
import { landingGroup } from '../sql/group-rules.ts'
import { keptSince } from '../sql/kept-since.ts'
import { places, rangeOf } from './places.ts'
import type { Sequencing } from './sequencing.ts'
import { stateOf } from './taken.ts'

/** Messages that one snapshot looks at: some hundred milliseconds. */
const portion = 20_000
const relay = '@relay'

/**
 * The books. Their watermark is the number of a run: what was in sequence when they were opened is exactly what the runs up to it hold,
 * while a position of the table may still be committed below others. A portion is a range of one queue's sequence: of its messages,
 * and of the dispositions whose message was dropped since.
 */
export function bookStore(access: PgAccess, sequencing: Sequencing): BookStore {
  const { snapshot } = access
  return {
    open: async () => {
      await sequencing.all()
      const epoch = await access.epoch()
      return snapshot((connection) => open(connection, epoch))
    },
    count: (reader, watermark, after) =>
      snapshot((connection) =>
        reader === landingGroup
          ? countParked(connection)
          : countPortion(connection, reader, watermark, after),
      ),
    sent: (watermark, after) => snapshot((connection) => sentPortion(connection, watermark, after)),
    lacking: (ids) => snapshot((connection) => lacking(connection, ids)),
    keptSince: () => snapshot(keptSince),
    describe: (ids) => snapshot((connection) => describe(connection, ids)),
    carried: (ids) => snapshot((connection) => carried(connection, ids)),
  }
}

async function open(connection: PgConnection, epoch: string): Promise<BookOpening> {
  const [at] = await connection.all(
    `select waybill_now() as now, (select coalesce(max(n), 0) from waybill_runs) as watermark,
       exists (select 1 from waybill_cursors where reader like '@land:%') as carries`,
  )
  const outside = await connection.all(
    `select topic, 'delayed' as state, count(*) as n from waybill_delayed group by topic
     union all select topic, 'in-doubt', count(*) from waybill_halves where state in ('prepared', 'in-doubt') group by topic
     union all select topic, state, count(*) from waybill_ended group by topic, state
     order by topic`,
  )
  return {
    epoch,
    now: at!['now'],
    watermark: at!['watermark'],
    keptSince: await keptSince(connection),
    readers: await readersOf(connection, epoch),
    carries: at!['carries'],
    landed: await landedFacts(connection),
    outside: outside.map(toCount),
  }
}

async function readersOf(connection: PgConnection, epoch: string): Promise<readonly BookReader[]> {
  const groups = await connection.all(
    "select name, subscription, start, created_at from waybill_groups where database_id = ? and subscription <> '' order by name",
    epoch,
  )
  const relayed = await connection.all('select distinct topic from waybill_cursors where reader = ?', relay)
  const parked = await connection.all(
    'select distinct topic from waybill_dispositions where grp = ?',
    landingGroup,
  )
  const own = [
    [relay, relayed],
    [landingGroup, parked],
  ] as const
  return [
    ...groups.map((row) => ({
      name: row['name'] as string,
      topics: topicNamesOf(row['subscription']),
      start: row['start'] as string,
      createdAt: row['created_at'] as number,
    })),
    ...own
      .filter(([, topics]) => topics.length > 0)
      .map(([name, topics]) => ({
        name,
        topics: topics.map((row) => row['topic'] as string),
        start: null,
        createdAt: 0,
      })),
  ]
}

/** A range of one queue's sequence, as its reader stands to it. */
interface Range {
  readonly reader: string
  readonly topic: string
  readonly queue: number
  readonly after: number
  readonly upTo: number
  readonly cursor: number
  readonly start: number
}

const openStates = "('running', 'retrying', 'held', 'dead')"

/** The reader's first queue from there on that the watermark leaves something of. */
const nextQueue = `with later as materialized (
    select topic, queue, min(seq_from) - 1 as seq from waybill_runs where n > ? group by topic, queue
  ) select c.topic, c.queue, c.pos, c.start_pos, coalesce(l.seq, e.seq) as up_to,
      case when (c.topic, c.queue) = (?, ?::integer) then ?::bigint else 0 end as after
    from waybill_cursors c join waybill_ends e on e.topic = c.topic and e.queue = c.queue
      left join later l on l.topic = c.topic and l.queue = c.queue
    where c.reader = ? and (c.topic, c.queue) >= (?, ?)
      and coalesce(l.seq, e.seq) > case when (c.topic, c.queue) = (?, ?::integer) then ?::bigint else 0 end
    order by c.topic, c.queue limit 1`

async function nextRange(
  connection: PgConnection,
  reader: string,
  watermark: number,
  from: string,
): Promise<Range | undefined> {
  const [topic, queue, seq] = (from === '' ? ['', 0, 0] : JSON.parse(from)) as [string, number, number]
  const [row] = await connection.all(
    nextQueue,
    watermark,
    topic,
    queue,
    seq,
    reader,
    topic,
    queue,
    topic,
    queue,
    seq,
  )
  if (!row) return undefined
  const name = [row['topic'] as string, row['queue'] as number] as const
  const after = row['after'] as number
  // Before the first run that is left, only dispositions are; they too may be many.
  const [bound] = await connection.all(
    `select (select seq_from from waybill_runs where topic = ? and queue = ? and seq_to > ? order by seq_to limit 1) as first,
       (select pos from waybill_dispositions where grp = ? and topic = ? and queue = ? and pos > ? and state in ${openStates}
        order by pos limit 1 offset ${portion - 1}) as last_open`,
    ...name,
    after,
    reader,
    ...name,
    after,
  )
  const all = row['up_to'] as number
  const inLog = Math.max(after, ((bound!['first'] as number | null) ?? all) - 1) + portion
  return {
    reader,
    topic: name[0],
    queue: name[1],
    after,
    upTo: Math.min(all, inLog, (bound!['last_open'] as number | null) ?? all),
    cursor: row['pos'],
    start: row['start_pos'],
  }
}

const noCopy = 'not exists (select 1 from waybill_copies k where k.id = d.message_id and k.grp = d.grp)'
/** The messages of the range with what became of them, `d`. The laterals keep the planner from reading either table whole. */
const inLog = `${places} x cross join lateral (select id, key, source, topic, queue from waybill_messages where pos = x.pos offset 0) m
  cross join (select ?::text as name) g
  cross join lateral (select g.name as grp, m.id as message_id, ${stateOf('g.name', 'm', 'x.seq')} as state offset 0) d`
/** What is to be delivered and is in the log no more. */
const orphans = `waybill_dispositions d where d.grp = ? and d.topic = ? and d.queue = ? and d.pos > ? and d.pos <= ?
  and d.state in ${openStates} and not exists (select 1 from waybill_messages m where m.id = d.message_id offset 0)`

async function countPortion(
  connection: PgConnection,
  reader: string,
  watermark: number,
  from: string,
): Promise<BookPage> {
  const range = await nextRange(connection, reader, watermark, from)
  if (!range) return { counts: [], offenders: [], next: undefined }
  const { topic, queue, after, upTo, cursor, start } = range
  const isRelay = reader === relay
  const rows = await connection.all(
    `select d.state, x.seq <= ? as passed, count(*) as n, count(*) filter (where d.state in ('retrying', 'held', 'dead') and ${noCopy}) as lost
     from ${inLog} where d.state is not null or (x.seq > ? ${isRelay ? 'and m.source is null' : ''}) group by d.state, passed`,
    cursor,
    ...rangeOf({ topic, queue }, after, upTo),
    reader,
    start,
  )
  const orphaned = await connection.all(
    `select d.state, count(*) as n, count(*) filter (where ${noCopy}) as lost from ${orphans} group by d.state`,
    reader,
    topic,
    queue,
    after,
    upTo,
  )
  const counts = [...rows, ...orphaned].flatMap((row): BookCount[] => {
    // Of the relay, what its cursor has passed was sent. Of a group it has a disposition, or it is in no state at all.
    const without = isRelay ? (row['passed'] ? 'done' : 'in-transit') : row['passed'] ? undefined : 'waiting'
    const state = row['state'] ?? without
    return state === undefined ? [] : [{ topic, state, count: row['n'] }]
  })
  const offenders: BookOffender[] = []
  if (!isRelay && rows.some((row) => row['state'] === null && row['passed']))
    offenders.push(...(await unaccounted(connection, range)))
  if ([...rows, ...orphaned].some((row) => row['lost'] > 0))
    offenders.push(...(await bodiesLost(connection, range)))
  return { counts, offenders, next: JSON.stringify([topic, queue, upTo]) }
}

async function unaccounted(
  connection: PgConnection,
  { reader, topic, queue, after, upTo, cursor, start }: Range,
): Promise<readonly BookOffender[]> {
  const rows = await connection.all(
    `select m.id, m.key from ${inLog} where d.state is null and x.seq > ? and x.seq <= ? order by x.seq`,
    ...rangeOf({ topic, queue }, after, upTo),
    reader,
    start,
    cursor,
  )
  return rows.map((row) => toOffender(row, topic, 'unaccounted'))
}

async function bodiesLost(
  connection: PgConnection,
  { reader, topic, queue, after, upTo }: Range,
): Promise<readonly BookOffender[]> {
  const rows = await connection.all(
    `select d.message_id as id, coalesce(m.key, l.key) as key from waybill_dispositions d
       left join waybill_messages m on m.id = d.message_id
       left join waybill_dead_letters l on l.grp = d.grp and l.message_id = d.message_id
     where d.grp = ? and d.topic = ? and d.queue = ? and d.pos > ? and d.pos <= ? and d.state in ${openStates}
       and (d.state <> 'running' or m.id is null) and ${noCopy} order by d.pos`,
    reader,
    topic,
    queue,
    after,
    upTo,
  )
  return rows.map((row) => toOffender(row, topic, 'body-lost'))
}

/** What was parked at landing has no place in any queue, and is little. */
async function countParked(connection: PgConnection): Promise<BookPage> {
  const parked = `from waybill_dispositions d where d.grp = '${landingGroup}' and d.state in ${openStates}`
  const rows = await connection.all(
    `select d.topic, d.state, count(*) as n ${parked} group by d.topic, d.state`,
  )
  const lost = await connection.all(
    `select d.message_id as id, d.topic, (select l.key from waybill_dead_letters l where l.grp = d.grp and l.message_id = d.message_id) as key
     ${parked} and ${noCopy} order by 1`,
  )
  return {
    counts: rows.map(toCount),
    offenders: lost.map((row) => toOffender(row, row['topic'], 'body-lost')),
    next: undefined,
  }
}

function toCount(row: PgRow): BookCount {
  return { topic: row['topic'], state: row['state'], count: row['n'] }
}

function toOffender(row: PgRow, topic: string, fault: BookFault): BookOffender {
  return { id: row['id'], key: row['key'], topic, fault }
}
