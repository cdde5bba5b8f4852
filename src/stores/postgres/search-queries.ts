import { type DispositionState, type State, dispositionStates } from '../../core/state.ts'
import type { SearchQuery } from '../../core/store.ts'
import { idAt, isStray } from './id-times.ts'
import { placeOf } from './places.ts'
import { texts } from './rows.ts'
import { stateOf } from './taken.ts'
import { type Sql, joined, raw, sql } from '../sql/sql.ts'

const nothing = raw('')

/** The states of messages that the log holds or has held; `searchElsewhere` has the others. */
function isInLog(state: State): state is DispositionState | 'waiting' | 'in-transit' {
  return (
    state === 'waiting' || state === 'in-transit' || (dispositionStates as readonly State[]).includes(state)
  )
}

/** What to ask for a search: each stops at its limit, the newest first, whatever history and backlog hold. */
export interface Asked {
  /** They answer `id` and `published_at`. An `offset 0` keeps a subquery what it is: one look into an index per row, no join over all. */
  readonly queries: readonly Sql[]
  readonly walk?: Walk
}

/** The place of a message `m` on a walk. */
export const walkedPlace = '(r.seq_from + p.ord - 1)'

/** Back through the sequences of queues. */
export interface Walk {
  /** Answers topic, queue, after, up_to and maybe reader. */
  readonly queues: Sql
  /** Of a message `m` and its queue `q`. */
  readonly conditions: readonly Sql[]
}

export function askedOf(query: SearchQuery, readers: readonly string[], limit: number): Asked {
  const { state } = query
  if (state !== undefined && !isInLog(state)) return { queries: [] }
  if (query.id !== undefined || query.key !== undefined)
    return { queries: narrow(query, state, readers, limit) }
  if (state === undefined) return inAnyState(query, readers, limit)
  if (state === 'waiting' || state === 'in-transit') return { queries: [], walk: beyondCursors(query, state) }
  if (state === 'done') return done(query, readers, limit)
  return { queries: [leftTheLog(query, state, readers, limit)] }
}

/** By id or key: whatever else is asked is asked of the few messages that have it. */
function narrow(
  query: SearchQuery,
  state: DispositionState | 'waiting' | 'in-transit' | undefined,
  readers: readonly string[],
  limit: number,
): readonly Sql[] {
  const { id, key, topic, group } = query
  const which = [
    ...(id === undefined ? [] : [sql`m.id = ${id}`]),
    ...(key === undefined ? [] : [sql`m.key = ${key}`]),
    ...(topic === undefined ? [] : [sql`m.topic = ${topic}`]),
    ...timed(query),
  ]
  const isBeyond = state === 'waiting' || state === 'in-transit'
  const inLog =
    state === undefined
      ? conditionOfGroup(group)
      : isBeyond
        ? [isWaiting(state, group)]
        : [hasDisposition(state, readers)]
  const log = sql`select m.id, m.published_at from waybill_messages m ${where([...which, ...inLog])} order by m.pos desc limit ${limit}`
  if (isBeyond || state === 'done') return [log]
  const inCopies = [
    ...(group === undefined ? [] : [sql`m.grp = ${group}`]),
    ...(state === undefined
      ? []
      : [
          sql`(select d.state from waybill_dispositions d where d.grp = m.grp and d.message_id = m.id) = ${state}`,
        ]),
  ]
  return [
    log,
    sql`select m.id, m.published_at from waybill_copies m ${where([...which, ...inCopies])} order by m.published_at desc, m.id desc limit ${limit}`,
  ]
}

/** By time from the index of ids, by topic or group the newest of each queue; without any of these the newest of all. */
function inAnyState(query: SearchQuery, readers: readonly string[], limit: number): Asked {
  const { topic, group } = query
  const kept = copied(query, readers, limit)
  if (isTimed(query) || (topic === undefined && group === undefined))
    return { queries: [...byTime(query, conditionOfGroup(group), limit), kept] }
  const queues =
    group === undefined
      ? sql`select topic, queue, 0 as after, seq as up_to from waybill_ends where topic = ${topic!}`
      : sql`select c.topic, c.queue, 0 as after, e.seq as up_to from ${cursors} where c.reader = ${group} ${ofTopic(topic)}`
  return { queries: [kept], walk: { queues, conditions: [] } }
}

/** The newest by the time that their ids tell, and those whose ids tell another. */
function byTime(query: SearchQuery, conditions: readonly Sql[], limit: number): readonly Sql[] {
  const { topic, since, until } = query
  const all = [
    ...timed(query),
    // Opaque to the planner, which would read and sort everything for a topic that it takes to be rare.
    ...(topic === undefined ? [] : [sql`m.topic || '' = ${topic}`]),
    ...conditions,
  ]
  const ids = [
    ...(since === undefined ? [] : [sql`m.id >= ${idAt(since.getTime())}`]),
    sql`m.id < ${idAt(until?.getTime() ?? Infinity)}`,
    // A comparison the planner would take for one that few rows meet, and read and sort everything.
    raw(`case when ${isStray('m')} then false else true end`),
  ]
  const strays = [raw(isStray('m'))]
  return [
    sql`select m.id, m.published_at from waybill_messages m ${where([...ids, ...all])} order by m.id desc limit ${limit}`,
    sql`select m.id, m.published_at from waybill_messages m ${where([...strays, ...all])} order by m.published_at desc limit ${limit}`,
  ]
}

function copied(query: SearchQuery, readers: readonly string[], limit: number): Sql {
  const { topic } = query
  return sql`select x.id, x.published_at from (${given(readers)}) g(grp) cross join lateral (
      select m.id, m.published_at from waybill_copies m where m.grp = g.grp ${and(timed(query))}
        ${topic === undefined ? nothing : sql`and m.topic = ${topic}`}
      order by m.published_at desc, m.id desc limit ${limit}
    ) x`
}

function beyondCursors(query: SearchQuery, state: 'waiting' | 'in-transit'): Walk {
  const queues = sql`select c.reader, c.topic, c.queue, c.pos as after, e.seq as up_to from ${cursors}
    where ${ofReaders(state, query.group)} and e.seq > c.pos ${ofTopic(query.topic)}`
  return { queues, conditions: [...timed(query), undisposed(state, 'q.reader', walkedPlace)] }
}

function done(query: SearchQuery, readers: readonly string[], limit: number): Asked {
  const { topic, group } = query
  if (isTimed(query)) {
    const conditions = [...conditionOfGroup(group), hasDisposition('done', readers)]
    return { queries: byTime(query, conditions, limit) }
  }
  // What a group has taken, also if it has been removed since.
  const queues = sql`select l.reader, l.topic, l.queue,
      (select seq_from - 1 from waybill_taken where lane = l.lane order by seq_to limit 1) as after,
      (select seq_to from waybill_taken where lane = l.lane order by seq_to desc limit 1) as up_to
    from waybill_leases l where exists (select 1 from waybill_taken where lane = l.lane) and l.reader not like '@%' ${topic === undefined ? nothing : sql`and l.topic = ${topic}`} ${group === undefined ? nothing : sql`and l.reader = ${group}`}`
  const walk = { queues, conditions: [sql`${raw(stateOf('q.reader', 'm', walkedPlace))} = 'done'`] }
  const carriers = readers.filter((reader) => reader.startsWith('@'))
  return { queries: topic === undefined && carriers.length > 0 ? [receipts(carriers, limit)] : [], walk }
}

function receipts(readers: readonly string[], limit: number): Sql {
  return sql`select x.id, x.published_at from (${given(readers)}) g(grp) cross join lateral (
      select m.id, m.published_at from waybill_dispositions d
        cross join lateral (select id, published_at from waybill_messages where id = d.message_id offset 0) m
      where d.grp = g.grp and d.state = 'done' order by d.message_id desc limit ${limit}
    ) x`
}

/** The latest that got there. Each from the log, or from its copy once the log's row is purged. */
function leftTheLog(
  query: SearchQuery,
  state: DispositionState,
  readers: readonly string[],
  limit: number,
): Sql {
  const { topic } = query
  return sql`select x.id, x.published_at from (${given(readers)}) g(grp) cross join lateral (
      select m.id, m.published_at from waybill_dispositions d cross join lateral (
        select id, published_at from waybill_messages where id = d.message_id
        union all select id, published_at from waybill_copies where id = d.message_id and grp = d.grp limit 1
      ) m
      where d.grp = g.grp and d.state = ${state} and d.state <> 'done' ${and(timed(query))}
        ${topic === undefined ? nothing : sql`and d.topic = ${topic}`}
      order by d.at desc, d.message_id desc limit ${limit}
    ) x`
}

/** Cursors with the end of what is in the sequence of their queue. */
const cursors = raw('waybill_cursors c join waybill_ends e on e.topic = c.topic and e.queue = c.queue')

function ofTopic(topic: string | undefined): Sql {
  return topic === undefined ? nothing : sql`and c.topic = ${topic}`
}

/** The cursors `c` of the readers that a message can be in this state for. */
function ofReaders(state: 'waiting' | 'in-transit', group: string | undefined): Sql {
  if (state === 'in-transit') return raw("c.reader = '@relay'")
  return group === undefined ? raw("c.reader not like '@%'") : sql`c.reader = ${group}`
}

function undisposed(state: 'waiting' | 'in-transit', reader: string, place: string): Sql {
  const open = raw(`${stateOf(reader, 'm', place)} is null`)
  return state === 'in-transit' ? sql`${open} and m.source is null` : open
}

function isWaiting(state: 'waiting' | 'in-transit', group: string | undefined): Sql {
  return sql`exists (select 1 from waybill_cursors c where ${ofReaders(state, group)} and c.topic = m.topic and c.queue = m.queue
    and c.pos < ${raw(placeOf('m'))} and ${undisposed(state, 'c.reader', placeOf('m'))} offset 0)`
}

function conditionOfGroup(group: string | undefined): readonly Sql[] {
  if (group === undefined) return []
  return [
    sql`exists (select 1 from waybill_cursors c where c.reader = ${group} and c.topic = m.topic and c.queue = m.queue offset 0)`,
  ]
}

function hasDisposition(state: DispositionState, readers: readonly string[]): Sql {
  if (state === 'done')
    return sql`exists (select 1 from (${given(readers)}) g(grp) where ${raw(stateOf('g.grp', 'm', placeOf('m')))} = 'done' offset 0)`
  return sql`exists (select 1 from (${given(readers)}) g(grp), waybill_dispositions d
    where d.grp = g.grp and d.message_id = m.id and d.state = ${state} offset 0)`
}

function isTimed({ since, until }: SearchQuery): boolean {
  return since !== undefined || until !== undefined
}

function timed({ since, until }: SearchQuery): readonly Sql[] {
  return [
    ...(since === undefined ? [] : [sql`m.published_at >= ${since.getTime()}`]),
    ...(until === undefined ? [] : [sql`m.published_at < ${until.getTime()}`]),
  ]
}

function given(readers: readonly string[]): Sql {
  return { text: texts, params: [JSON.stringify(readers)] }
}

function where(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? nothing : sql`where ${joined(conditions, ' and ')}`
}

export function and(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? nothing : sql`and ${joined(conditions, ' and ')}`
}
