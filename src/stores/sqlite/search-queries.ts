import { type DispositionState, type State, dispositionStates } from '../../core/state.ts'
import type { SearchQuery } from '../../core/store.ts'
import type { SqlValue, SqliteConnection } from './driver.ts'
import { readersIn } from './groups.ts'

/** A message's columns from the log, or from its copy once the log row is purged. */
export const messageFields =
  'id, service, topic, queue, pos, tag, key, sharding_key, published_at, source, source_queue, source_pos'
export const copies = `(select grp, ${messageFields.replace('id,', 'message_id as id,')} from waybill_copies)`

/** The states of messages that the log holds or has held; `searchElsewhere` has the others. */
function isInLog(state: State): state is DispositionState | 'waiting' | 'in-transit' {
  return (
    state === 'waiting' || state === 'in-transit' || (dispositionStates as readonly State[]).includes(state)
  )
}

/** A part of a statement, or all of it but its limit, with what is bound to it. */
export interface Query {
  readonly sql: string
  readonly params: readonly SqlValue[]
}

/**
 * What to ask for a search: queries that each stop at their limit, the newest first, whatever history and backlog hold. A plus
 * before a column keeps SQLite from an index that would make it sort or read everything.
 */
export function queriesOf(connection: SqliteConnection, query: SearchQuery): readonly Query[] {
  const { state, group } = query
  if (state !== undefined && !isInLog(state)) return []
  if (state === undefined) return inAnyState(connection, query)
  if (state === 'waiting' || state === 'in-transit') return beyondCursors(connection, query, state)
  const groups = group === undefined ? readersIn(connection) : [group]
  return groups.flatMap((name) =>
    state === 'done' ? done(connection, query, name) : leftTheLog(query, name, state),
  )
}

function inAnyState(connection: SqliteConnection, query: SearchQuery): readonly Query[] {
  const { group } = query
  const reads =
    'exists (select 1 from waybill_cursors c where c.reader = ? and c.topic = m.topic and c.queue = m.queue)'
  const inLog = group === undefined ? [] : [part(reads, group)]
  const inCopies = group === undefined ? [] : [part('m.grp = ?', group)]
  const kept = select(`${copies} m`, [...inCopies, ...filters(query)], '+m.published_at')
  return [...fromLog(connection, query, inLog), kept]
}

/** By id, key or time from their index; else the newest of each queue; without any of these the newest of all. */
function fromLog(
  connection: SqliteConnection,
  query: SearchQuery,
  conditions: readonly Query[],
): readonly Query[] {
  if (isNarrow(query))
    return [select('waybill_messages m', [...conditions, ...filters(query)], '+m.published_at')]
  const { topic, group } = query
  const isTimed = query.since !== undefined || query.until !== undefined
  if (isTimed || (topic === undefined && group === undefined)) {
    return [select('waybill_messages m', [...conditions, ...filters(query)], 'm.published_at')]
  }
  return queuesOf(connection, topic, group).map((queue) =>
    select('waybill_messages m', [...conditions, queue], 'm.pos'),
  )
}

function queuesOf(
  connection: SqliteConnection,
  topic: string | undefined,
  group: string | undefined,
): readonly Query[] {
  const rows =
    group === undefined
      ? connection.all(
          'select name as topic, value as queue from waybill_topics, json_each(?) where value < queues',
          allQueues,
        )
      : connection.all('select topic, queue from waybill_cursors where reader = ?', group)
  return rows
    .filter((row) => topic === undefined || row['topic'] === topic)
    .map((row) => part('m.topic = ? and m.queue = ?', row['topic']!, row['queue']!))
}

const queuesMax = 64
const allQueues = JSON.stringify(Array.from({ length: queuesMax }, (_, queue) => queue))

function beyondCursors(
  connection: SqliteConnection,
  query: SearchQuery,
  state: 'waiting' | 'in-transit',
): readonly Query[] {
  const reader = state === 'in-transit' ? '@relay' : query.group
  const cursors = connection
    .all('select reader, topic, queue, pos from waybill_cursors')
    .filter((row) =>
      reader === undefined ? !(row['reader'] as string).startsWith('@') : row['reader'] === reader,
    )
    .filter((row) => query.topic === undefined || row['topic'] === query.topic)
  const inQueue = isNarrow(query)
    ? '+m.topic = ? and +m.queue = ? and +m.pos > ?'
    : 'm.topic = ? and m.queue = ? and m.pos > ?'
  const open = 'not exists (select 1 from waybill_dispositions d where d.grp = ? and d.message_id = m.id)'
  return cursors.map((row) => {
    const conditions = [
      part(inQueue, row['topic']!, row['queue']!, row['pos']!),
      part(state === 'in-transit' ? `${open} and m.source is null` : open, row['reader']!),
      ...filters({ ...query, topic: undefined }),
    ]
    return select('waybill_messages m', conditions, isNarrow(query) ? '+m.pos' : 'm.pos')
  })
}

function done(connection: SqliteConnection, query: SearchQuery, group: string): readonly Query[] {
  const isOpen = query.topic === undefined && query.since === undefined && query.until === undefined
  if (isOpen && !isNarrow(query)) {
    const receipts = 'waybill_dispositions d cross join waybill_messages m on m.id = d.message_id'
    return [select(receipts, [part("d.grp = ? and d.state = 'done'", group)], 'd.message_id')]
  }
  const receipt =
    "exists (select 1 from waybill_dispositions d where d.grp = ? and d.message_id = m.id and d.state = 'done')"
  return fromLog(connection, { ...query, group }, [part(receipt, group)])
}

/** From the message where that is what narrows it down, else the latest that got there: the cross join fixes what is read first. */
function leftTheLog(query: SearchQuery, group: string, state: DispositionState): readonly Query[] {
  const conditions = [
    part("d.message_id = m.id and d.grp = ? and d.state = ? and d.state <> 'done'", group, state),
    ...filters(query),
  ]
  return ['waybill_messages', copies].map((table) => {
    const tables = ['waybill_dispositions d', `${table} m`]
    const joined = (isNarrow(query) ? tables.toReversed() : tables).join(' cross join ')
    const sameGroup = table === copies ? [part('m.grp = d.grp')] : []
    return select(joined, [...sameGroup, ...conditions], isNarrow(query) ? '+m.published_at' : 'd.at')
  })
}

function isNarrow(query: SearchQuery): boolean {
  return query.id !== undefined || query.key !== undefined
}

interface Filters {
  readonly id?: string | undefined
  readonly key?: string | undefined
  readonly topic?: string | undefined
  readonly since?: Date | undefined
  readonly until?: Date | undefined
}

function filters(query: Filters): readonly Query[] {
  const given = [
    ['m.id = ?', query.id],
    ['m.key = ?', query.key],
    ['+m.topic = ?', query.topic],
    ['m.published_at >= ?', query.since?.getTime()],
    ['m.published_at < ?', query.until?.getTime()],
  ] as const
  return given.flatMap(([condition, value]) => (value === undefined ? [] : [part(condition, value)]))
}

function part(sql: string, ...params: readonly SqlValue[]): Query {
  return { sql, params }
}

function select(from: string, conditions: readonly Query[], newest: string): Query {
  const where = conditions.length === 0 ? '' : ` where ${conditions.map(({ sql }) => sql).join(' and ')}`
  const sql = `select m.id as id, m.published_at as published_at from ${from}${where} order by ${newest} desc`
  return { sql, params: conditions.flatMap(({ params }) => params) }
}
