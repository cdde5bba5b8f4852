import type {
  BookCount,
  BookFault,
  BookOffender,
  BookOpening,
  BookPage,
  BookReader,
  BookStore,
} from '../../core/books.ts'
import { WaybillError } from '../../core/errors.ts'
import type { MyAccess } from './access.ts'
import { type Ends, carried, describe, lacking, sentPortion } from './books-sent.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { topicNamesOf } from '../sql/fact-rows.ts'
import { landedFacts } from '../sql/facts.ts'
import { landingGroup } from '../sql/group-rules.ts'
import { keptSince } from '../sql/kept-since.ts'
import type { Sequencing } from './sequencing.ts'
import { inLane, stateInLane } from './taken.ts'

/** Messages that one snapshot looks at: some hundred milliseconds. */
const portion = 20_000
const relay = '@relay'

/** Books that are read at the same time in one process; whoever leaves them open for longer than so many others begins anew. */
const watermarksMax = 1_000

/**
 * The books. Up to where each queue was in sequence when they were opened nothing enters any more, while a position of the table may
 * still be committed below others. Those ends are kept here under the watermark's number, since a watermark is one number. A portion is
 * a range of one queue's sequence: of its messages, and of the dispositions whose message was dropped since.
 */
export function bookStore(access: MyAccess, sequencing: Sequencing): BookStore {
  const { snapshot } = access
  const watermarks = new Map<number, Ends>()
  let last = 0
  const endsOf = (watermark: number): Ends => {
    const ends = watermarks.get(watermark)
    if (ends) return ends
    throw new WaybillError(
      'store.busy',
      'these books were opened too long ago or by another process; open them anew',
    )
  }
  return {
    open: async () => {
      await sequencing.all()
      const epoch = await access.epoch()
      const { opening, ends } = await snapshot((connection) => open(connection, epoch))
      watermarks.set(++last, ends)
      watermarks.delete(last - watermarksMax)
      return { ...opening, watermark: last }
    },
    count: (reader, watermark, after) =>
      snapshot((connection) =>
        reader === landingGroup
          ? countParked(connection)
          : countPortion(connection, reader, endsOf(watermark), after),
      ),
    sent: (watermark, after) => snapshot((connection) => sentPortion(connection, endsOf(watermark), after)),
    lacking: (ids) => snapshot((connection) => lacking(connection, ids)),
    keptSince: () => snapshot(keptSince),
    describe: (ids) => snapshot((connection) => describe(connection, ids)),
    carried: (ids) => snapshot((connection) => carried(connection, ids)),
  }
}

async function open(
  connection: MyConnection,
  epoch: string,
): Promise<{ readonly opening: Omit<BookOpening, 'watermark'>; readonly ends: Ends }> {
  const [at] = await connection.all(
    "select waybill_now() as now, exists (select 1 from waybill_cursors where reader like '@land:%') as carries",
  )
  const ends = await connection.all(
    'select topic, queue, seq from waybill_ends where seq > 0 order by topic, queue',
  )
  const outside = await connection.all(
    `select topic, 'delayed' as state, count(*) as n from waybill_delayed group by topic
     union all select topic, 'in-doubt', count(*) from waybill_halves where state in ('prepared', 'in-doubt') group by topic
     union all select topic, state, count(*) from waybill_ended group by topic, state
     order by topic, state`,
  )
  const opening = {
    epoch,
    now: at!['now'] as number,
    keptSince: await keptSince(connection),
    readers: await readersOf(connection, epoch),
    carries: at!['carries'] === 1,
    landed: await landedFacts(connection),
    outside: outside.map(toCount),
  }
  return { opening, ends: ends as unknown as Ends }
}

async function readersOf(connection: MyConnection, epoch: string): Promise<readonly BookReader[]> {
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

/** The next range of the reader's queues, from where the last one ended. */
async function nextRange(
  connection: MyConnection,
  reader: string,
  ends: Ends,
  from: string,
): Promise<Range | undefined> {
  const [index, after] = (from === '' ? [0, 0] : JSON.parse(from)) as [number, number]
  const cursors = await connection.all(
    'select topic, queue, pos, start_pos from waybill_cursors where reader = ?',
    reader,
  )
  for (const [i, end] of ends.entries()) {
    const cursor = cursors.find(({ topic, queue }) => topic === end.topic && queue === end.queue)
    const done = i === index ? after : 0
    if (i < index || done >= end.seq || !cursor) continue
    // Before the first that is left, only dispositions are; they are looked up by their state, and are few.
    const [row] = await connection.all(
      'select min(seq) as seq from waybill_messages where topic = ? and queue = ? and seq > ?',
      end.topic,
      end.queue,
      done,
    )
    const first = (row!['seq'] as number | null) ?? end.seq
    return {
      reader,
      topic: end.topic,
      queue: end.queue,
      after: done,
      upTo: Math.min(end.seq, first - 1 + portion),
      cursor: cursor['pos'],
      start: cursor['start_pos'],
    }
  }
  return undefined
}

const noCopy = 'not exists (select 1 from waybill_copies k where k.id = d.message_id and k.grp = d.grp)'
/** The messages of the range with what became of them, `d`. */
const inLog = `(select l.reader as grp, m.id as message_id, m.msg_key, m.seq, m.source, ${stateInLane} as state from ${inLane} and m.seq > ? and m.seq <= ?) d`
/** What is to be delivered and is in the log no more. */
const orphans = `waybill_dispositions d force index (by_state) where d.grp = ? and d.topic = ? and d.queue = ? and d.pos > ? and d.pos <= ?
  and d.state in ${openStates} and not exists (select 1 from waybill_messages m where m.id = d.message_id)`

async function countPortion(
  connection: MyConnection,
  reader: string,
  ends: Ends,
  from: string,
): Promise<BookPage> {
  const range = await nextRange(connection, reader, ends, from)
  if (!range) return { counts: [], offenders: [], next: undefined }
  const { topic, queue, after, upTo, cursor, start } = range
  const isRelay = reader === relay
  const bounds = [reader, topic, queue, after, upTo] as const
  const rows = await connection.all(
    `select d.state, d.seq <= ? as passed, count(*) as n, sum(d.state in ('retrying', 'held', 'dead') and ${noCopy}) as lost
     from ${inLog} where d.state is not null or (d.seq > ? ${isRelay ? 'and d.source is null' : ''}) group by d.state, passed`,
    cursor,
    ...bounds,
    start,
  )
  const orphaned = await connection.all(
    `select d.state, count(*) as n, sum(${noCopy}) as lost from ${orphans} group by d.state`,
    ...bounds,
  )
  const counts = [...rows, ...orphaned].flatMap((row): BookCount[] => {
    const passed = row['passed'] === 1
    // Of the relay, what its cursor has passed was sent. Of a group it has a disposition, or it is in no state at all.
    const without = isRelay ? (passed ? 'done' : 'in-transit') : passed ? undefined : 'waiting'
    const state = row['state'] ?? without
    return state === undefined ? [] : [{ topic, state, count: row['n'] }]
  })
  const offenders: BookOffender[] = []
  if (!isRelay && rows.some((row) => row['state'] === null && row['passed'] === 1))
    offenders.push(...(await unaccounted(connection, range)))
  if ([...rows, ...orphaned].some((row) => row['lost'] > 0))
    offenders.push(...(await bodiesLost(connection, range)))
  const index = ends.findIndex((end) => end.topic === topic && end.queue === queue)
  return { counts, offenders, next: JSON.stringify([index, upTo]) }
}

async function unaccounted(
  connection: MyConnection,
  { reader, topic, queue, after, upTo, cursor, start }: Range,
): Promise<readonly BookOffender[]> {
  const rows = await connection.all(
    `select d.message_id as id, d.msg_key from ${inLog} where d.state is null and d.seq > ? and d.seq <= ? order by d.seq`,
    reader,
    topic,
    queue,
    after,
    upTo,
    start,
    cursor,
  )
  return rows.map((row) => toOffender(row, topic, 'unaccounted'))
}

async function bodiesLost(
  connection: MyConnection,
  { reader, topic, queue, after, upTo }: Range,
): Promise<readonly BookOffender[]> {
  const rows = await connection.all(
    `select d.message_id as id, coalesce(m.msg_key, l.msg_key) as msg_key from waybill_dispositions d force index (by_state)
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
async function countParked(connection: MyConnection): Promise<BookPage> {
  const parked = `from waybill_dispositions d where d.grp = '${landingGroup}' and d.state in ${openStates}`
  const rows = await connection.all(
    `select d.topic, d.state, count(*) as n ${parked} group by d.topic, d.state`,
  )
  const lost = await connection.all(
    `select d.message_id as id, d.topic,
       (select l.msg_key from waybill_dead_letters l where l.grp = d.grp and l.message_id = d.message_id) as msg_key
     ${parked} and ${noCopy} order by 1`,
  )
  return {
    counts: rows.map(toCount),
    offenders: lost.map((row) => toOffender(row, row['topic'], 'body-lost')),
    next: undefined,
  }
}

function toCount(row: MyRow): BookCount {
  return { topic: row['topic'], state: row['state'], count: row['n'] }
}

function toOffender(row: MyRow, topic: string, fault: BookFault): BookOffender {
  return { id: row['id'], key: row['msg_key'], topic, fault }
}
