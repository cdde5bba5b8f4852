import type {
  BookCount,
  BookFault,
  BookOffender,
  BookOpening,
  BookPage,
  BookReader,
  BookStore,
  CarriedMessage,
  SentMessage,
  SentPage,
} from '../../core/books.ts'
import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import { topicNamesOf } from '../sql/fact-rows.ts'
import { landingGroup } from '../sql/group-rules.ts'
import type { SqliteAccess } from './access.ts'
import type { Row, SqliteConnection } from './driver.ts'
import { landedFacts } from './facts-rows.ts'
import { keptSince } from './kept-since.ts'
import { inSnapshot } from './snapshot.ts'

/** Messages that one snapshot looks at: some twenty milliseconds. */
const portion = 20_000
/** Sorts after every id. */
const endOfIds = '\uffff'
const relay = '@relay'

export function bookStore(access: SqliteAccess): BookStore {
  const snapshot = async <R>(work: (connection: SqliteConnection) => R): Promise<R> =>
    inSnapshot(access, work)
  return {
    open: () => snapshot((connection) => open(connection, access)),
    count: (reader, watermark, after) =>
      snapshot((connection) => countPortion(connection, reader, watermark, after)),
    sent: (watermark, after) => snapshot((connection) => sentPortion(connection, watermark, after)),
    lacking: (ids) => snapshot((connection) => lacking(connection, ids)),
    keptSince: () => snapshot(keptSince),
    describe: (ids) => snapshot((connection) => describe(connection, ids)),
    carried: (ids) => snapshot((connection) => carried(connection, ids)),
  }
}

function open(connection: SqliteConnection, { epoch, now }: SqliteAccess): BookOpening {
  // The highest position ever given: what was dropped from the log may still have its dispositions.
  const last = connection.all("select seq from sqlite_sequence where name = 'waybill_messages'")[0]
  const carriers = connection.all("select 1 from waybill_cursors where reader like '@land:%' limit 1")
  return {
    epoch,
    now: now(),
    watermark: (last?.['seq'] as number | undefined) ?? 0,
    keptSince: keptSince(connection),
    readers: readersOf(connection, epoch),
    carries: carriers.length > 0,
    landed: landedFacts(connection),
    outside: connection
      .all(
        `select topic, 'delayed' as state, count(*) as n from waybill_delayed group by topic
         union all select topic, 'in-doubt', count(*) from waybill_halves where state in ('prepared', 'in-doubt') group by topic
         union all select topic, state, count(*) from waybill_ended group by topic, state
         order by 1, 2`,
      )
      .map(toCount),
  }
}

function readersOf(connection: SqliteConnection, epoch: string): readonly BookReader[] {
  const groups = connection
    .all(
      "select name, subscription, start, created_at from waybill_groups where database_id = ? and subscription <> '' order by name",
      epoch,
    )
    .map((row) => ({
      name: row['name'] as string,
      topics: topicNamesOf(row['subscription'] as string),
      start: row['start'] as string,
      createdAt: row['created_at'] as number,
    }))
  const relayed = connection.all('select distinct topic from waybill_cursors where reader = ?', relay)
  const parked = connection.all('select distinct topic from waybill_dispositions where grp = ?', landingGroup)
  const own = [
    [relay, relayed],
    [landingGroup, parked],
  ] as const
  return [
    ...groups,
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

/** In the order of ids, in which both the messages' index and a group's dispositions lie: a merge, and no search for each. */
const disposed = `select d.topic, d.state, count(*) as n,
    sum(case when d.state in ('retrying', 'held', 'dead') then not exists (select 1 from waybill_copies k where k.message_id = d.message_id and k.grp = d.grp) else 0 end) as lost
  from waybill_dispositions d cross join waybill_messages m indexed by waybill_messages_by_id on m.id = d.message_id
  where d.grp = ? and d.message_id > ? and d.message_id <= ? and m.pos <= ? and d.grp <> '${landingGroup}' group by d.topic, d.state`
// Bind the reader once more at the end: were it the cursor's, each row would be read before its disposition is looked for.
const undisposed = `from waybill_messages m indexed by waybill_messages_by_id cross join waybill_cursors c on c.reader = ? and c.topic = m.topic and c.queue = m.queue
  where m.id > ? and m.id <= ? and m.pos <= ? and m.pos > c.start_pos and not exists (select 1 from waybill_dispositions d where d.grp = ? and d.message_id = m.id)`
// A plus keeps SQLite from the index by state, which would be read anew for every portion.
const openWithoutMessage = `from waybill_dispositions d where d.grp = ? and d.message_id > ? and d.message_id <= ? and d.pos <= ?
  and +d.state in ('running', 'retrying', 'held', 'dead') and (d.grp = '${landingGroup}' or not exists (select 1 from waybill_messages m where m.id = d.message_id))`
const noCopy =
  'not exists (select 1 from waybill_copies k where k.message_id = d.message_id and k.grp = d.grp)'

function countPortion(
  connection: SqliteConnection,
  reader: string,
  watermark: number,
  after: string,
): BookPage {
  const boundary = connection.all(
    `select id from waybill_messages where id > ? order by id limit 1 offset ${portion - 1}`,
    after,
  )[0]
  const next = boundary?.['id'] as string | undefined
  const bounds = [reader, after, next ?? endOfIds, watermark] as const
  const rest = reader === relay ? ' and m.source is null' : ''
  const settled = connection.all(disposed, ...bounds)
  const unsettled = connection.all(
    `select m.topic, m.pos <= c.pos as passed, count(*) as n ${undisposed}${rest} group by m.topic, passed`,
    ...bounds,
    reader,
  )
  const orphaned = connection.all(
    `select d.topic, d.state, count(*) as n, sum(${noCopy}) as lost ${openWithoutMessage} group by d.topic, d.state`,
    ...bounds,
  )
  const isRelay = reader === relay
  const waiting = unsettled.flatMap((row): BookCount[] => {
    const passed = row['passed'] === 1
    // Of the relay, what its cursor has passed was sent. Of a group it has a disposition, or it is in no state at all.
    if (passed && !isRelay) return []
    const state = passed ? 'done' : isRelay ? 'in-transit' : 'waiting'
    return [{ topic: row['topic'] as string, state, count: row['n'] as number }]
  })
  const offenders: BookOffender[] = []
  if (!isRelay && unsettled.some((row) => row['passed'] === 1))
    offenders.push(...unaccounted(connection, bounds))
  if ([...settled, ...orphaned].some((row) => (row['lost'] as number) > 0))
    offenders.push(...bodiesLost(connection, bounds))
  return { counts: [...settled.map(toCount), ...waiting, ...orphaned.map(toCount)], offenders, next }
}

type Bounds = readonly [reader: string, after: string, upTo: string, watermark: number]

function unaccounted(connection: SqliteConnection, bounds: Bounds): readonly BookOffender[] {
  return connection
    .all(`select m.id, m.key, m.topic ${undisposed} and m.pos <= c.pos order by m.id`, ...bounds, bounds[0])
    .map((row) => toOffender(row, 'unaccounted'))
}

function bodiesLost(connection: SqliteConnection, bounds: Bounds): readonly BookOffender[] {
  return connection
    .all(
      `select d.message_id as id, coalesce(m.key, l.key) as key, d.topic from waybill_dispositions d
         left join waybill_messages m on m.id = d.message_id
         left join waybill_dead_letters l on l.grp = d.grp and l.message_id = d.message_id
       where d.grp = ? and d.message_id > ? and d.message_id <= ? and d.pos <= ? and ${noCopy}
         and (+d.state in ('retrying', 'held', 'dead') or (d.state = 'running' and m.id is null)) order by 1`,
      ...bounds,
    )
    .map((row) => toOffender(row, 'body-lost'))
}

/** By position: the rows are read for their source anyway. What was refused, redriven or given up counts as sent once it was. */
function sentPortion(connection: SqliteConnection, watermark: number, after: number): SentPage {
  const cursors = new Map<string, number>(
    connection
      .all('select topic, queue, pos from waybill_cursors where reader = ?', relay)
      .map((row) => [`${String(row['topic'])}/${String(row['queue'])}`, row['pos'] as number]),
  )
  const rows = connection.lists(
    `select pos, id, topic, queue, source is null from waybill_messages where pos > ? and pos <= ? order by pos limit ${portion}`,
    after,
    watermark,
  )
  const unsent = new Set(
    connection
      .lists(
        `select message_id from waybill_dispositions where grp = ? and state in ('retrying', 'held', 'dead', 'discarded') and state <> 'done'`,
        relay,
      )
      .map((row) => row[0] as string),
  )
  const queues = new Map<string, { topic: string; queue: number; ids: MessageId[] }>()
  for (const [pos, id, topic, queue, isOwn] of rows as [number, MessageId, string, number, number][]) {
    const name = `${topic}/${queue}`
    if (isOwn === 0 || pos > (cursors.get(name) ?? 0) || unsent.has(id)) continue
    const known = queues.get(name) ?? { topic, queue, ids: [] }
    known.ids.push(id)
    queues.set(name, known)
  }
  const next = rows.length < portion ? undefined : (rows.at(-1)![0] as number)
  return { queues: [...queues.values()], next }
}

const given = 'select value from json_each(?)'

function lacking(connection: SqliteConnection, ids: readonly MessageId[]): readonly MessageId[] {
  const absent = connection
    .lists(
      `select value from json_each(?) where not exists (select 1 from waybill_messages m where m.id = value)`,
      JSON.stringify(ids),
    )
    .map((row) => row[0] as MessageId)
  if (absent.length === 0) return absent
  const list = JSON.stringify(absent)
  // Dropped from the log, and yet known: handled, or still to be.
  const known = connection.lists(
    `select message_id from waybill_copies where message_id in (${given})
     union select d.message_id from waybill_groups g cross join json_each(?) j cross join waybill_dispositions d on d.grp = g.name and d.message_id = j.value`,
    list,
    list,
  )
  const present = new Set(known.map((row) => row[0] as MessageId))
  return absent.filter((id) => !present.has(id))
}

function describe(connection: SqliteConnection, ids: readonly MessageId[]): readonly SentMessage[] {
  return connection
    .all(
      `select m.id, m.key, m.topic, m.queue, m.pos, m.published_at, m.eligible_at, b.at, b.transport, b.proof, d.at as resent_at
       from json_each(?) j cross join waybill_messages m on m.id = j.value
         left join waybill_relay_batches b on b.topic = m.topic and b.queue = m.queue and b.to_pos >= m.pos
           and b.from_pos = (select max(f.from_pos) from waybill_relay_batches f where f.topic = m.topic and f.queue = m.queue and f.from_pos <= m.pos)
         left join waybill_dispositions d on d.grp = ? and d.message_id = m.id`,
      JSON.stringify(ids),
      relay,
    )
    .map((row) => ({
      id: row['id'] as MessageId,
      key: row['key'] as string | null,
      topic: row['topic'] as string,
      queue: row['queue'] as number,
      position: row['pos'] as number,
      publishedAt: row['published_at'] as number,
      eligibleAt: row['eligible_at'] as number,
      sentAt: (row['resent_at'] ?? row['at']) as number | null,
      resent: row['resent_at'] !== null,
      transport: row['transport'] as string | null,
      proof: row['proof'] as string | null,
    }))
}

function carried(connection: SqliteConnection, ids: readonly MessageId[]): readonly CarriedMessage[] {
  return connection
    .all(
      `select m.id, m.queue, m.pos, count(c.reader) as services, coalesce(sum(c.pos < m.pos), 0) as unfetched, coalesce(sum(c.start_pos >= m.pos), 0) as not_owed
       from json_each(?) j cross join waybill_messages m on m.id = j.value
         left join waybill_cursors c on c.topic = m.topic and c.queue = m.queue and c.reader like '@land:%'
       group by m.id`,
      JSON.stringify(ids),
    )
    .map((row) => ({
      id: row['id'] as MessageId,
      queue: row['queue'] as number,
      position: row['pos'] as number,
      services: row['services'] as number,
      unfetched: row['unfetched'] as number,
      notOwed: row['not_owed'] as number,
    }))
}

function toCount(row: Row): BookCount {
  return { topic: row['topic'] as string, state: row['state'] as State, count: row['n'] as number }
}

function toOffender(row: Row, fault: BookFault): BookOffender {
  return {
    id: row['id'] as MessageId,
    key: row['key'] as string | null,
    topic: row['topic'] as string,
    fault,
  }
}
