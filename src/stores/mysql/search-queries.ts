import { type DispositionState, type State, dispositionStates } from '../../core/state.ts'
import type { SearchQuery } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import { readersIn } from '../sql/groups.ts'
import { type Sql, joined, raw, sql } from '../sql/sql.ts'
import { stateOf } from './taken.ts'

/** The states of messages that the log holds or has held; `searchElsewhere` has the others. */
function isInLog(state: State): state is DispositionState | 'waiting' | 'in-transit' {
  return (
    state === 'waiting' || state === 'in-transit' || (dispositionStates as readonly State[]).includes(state)
  )
}

/**
 * What to ask for a search: queries that each stop at their limit, the newest first, whatever history and backlog hold, and answer
 * `id` and `published_at`. The index is named: by its statistics the server would now and then sort everything instead.
 */
export async function queriesOf(connection: MyConnection, query: SearchQuery): Promise<readonly Sql[]> {
  const { state, group } = query
  if (state !== undefined && !isInLog(state)) return []
  if (state === 'waiting' || state === 'in-transit') return beyondCursors(connection, query, state)
  const groups = group === undefined ? await readersIn(connection) : [group]
  if (state === undefined) return inAnyState(connection, query, groups)
  if (state !== 'done') return groups.flatMap((name) => leftTheLog(query, name, state))
  const done: Sql[] = []
  for (const name of groups) done.push(...(await doneIn(connection, query, name)))
  return done
}

async function inAnyState(
  connection: MyConnection,
  query: SearchQuery,
  groups: readonly string[],
): Promise<readonly Sql[]> {
  const { group } = query
  const read =
    group === undefined
      ? []
      : [
          sql`exists (select 1 from waybill_cursors c where c.reader = ${group} and c.topic = m.topic and c.queue = m.queue)`,
        ]
  const copied = isNarrow(query)
    ? [fromCopies(query, group === undefined ? [] : [sql`m.grp = ${group}`])]
    : groups.map((name) => fromCopies(query, [sql`m.grp = ${name}`]))
  return [...(await fromLog(connection, query, read)), ...copied]
}

function fromCopies(query: SearchQuery, conditions: readonly Sql[]): Sql {
  const index = query.id !== undefined ? 'primary' : query.key !== undefined ? 'by_key' : 'by_time'
  return select(
    `waybill_copies m force index (${index})`,
    [...conditions, ...filters(query)],
    'm.published_at desc, m.id',
  )
}

/** By id, key or time from their index; else the newest of each queue; without any of these the newest of all. */
async function fromLog(
  connection: MyConnection,
  query: SearchQuery,
  conditions: readonly Sql[],
): Promise<readonly Sql[]> {
  const all = [...conditions, ...filters(query)]
  if (query.id !== undefined) return [select('waybill_messages m', all, 'm.pos')]
  if (query.key !== undefined) return [select('waybill_messages m force index (by_key)', all, 'm.pos')]
  const { topic, group } = query
  const isTimed = query.since !== undefined || query.until !== undefined
  if (isTimed || (topic === undefined && group === undefined))
    return [select('waybill_messages m force index (by_time)', all, 'm.published_at desc, m.pos')]
  const ofTopic = topic === undefined ? raw('true') : sql`topic = ${topic}`
  const queues =
    group === undefined
      ? sql`select topic, queue from waybill_ends where ${ofTopic}`
      : sql`select topic, queue from waybill_cursors where reader = ${group} and ${ofTopic}`
  const rows = await connection.all(queues.text, ...queues.params)
  return rows.map((row) =>
    inQueue([...conditions, sql`m.topic = ${row['topic']} and m.queue = ${row['queue']}`]),
  )
}

function inQueue(conditions: readonly Sql[]): Sql {
  return select('waybill_messages m force index (by_sequence)', conditions, 'm.seq')
}

async function beyondCursors(
  connection: MyConnection,
  query: SearchQuery,
  state: 'waiting' | 'in-transit',
): Promise<readonly Sql[]> {
  const reader = state === 'in-transit' ? '@relay' : query.group
  const rows = await connection.all('select reader, topic, queue, pos from waybill_cursors')
  const cursors = rows
    .filter((row) => (reader === undefined ? !row['reader'].startsWith('@') : row['reader'] === reader))
    .filter((row) => query.topic === undefined || row['topic'] === query.topic)
  return cursors.map((row) => {
    const conditions = [
      sql`m.topic = ${row['topic']} and m.queue = ${row['queue']}`,
      // What is not in sequence yet is beyond every cursor.
      sql`(m.seq > ${row['pos']} or m.seq = 0)`,
      sql`${stateOf(row['reader'])} is null`,
      ...(state === 'in-transit' ? [raw('m.source is null')] : []),
      ...filters({ ...query, topic: undefined }),
    ]
    if (query.id !== undefined) return select('waybill_messages m', conditions, 'm.pos')
    if (query.key !== undefined) return select('waybill_messages m force index (by_key)', conditions, 'm.pos')
    return inQueue(conditions)
  })
}

async function doneIn(connection: MyConnection, query: SearchQuery, group: string): Promise<readonly Sql[]> {
  const { topic } = query
  const isTimed = query.since !== undefined || query.until !== undefined
  const isDone = sql`${stateOf(group)} = 'done'`
  if (isNarrow(query) || isTimed) return fromLog(connection, { ...query, group }, [isDone])
  if (group.startsWith('@'))
    return [
      select(
        'waybill_dispositions d force index (primary) straight_join waybill_messages m on m.id = d.message_id',
        [sql`d.grp = ${group} and d.state = 'done'`, ...filters({ topic })],
        'd.message_id',
      ),
    ]
  const ofTopic = topic === undefined ? raw('') : sql`and topic = ${topic}`
  // What a group has taken, also if it has been removed since.
  const end = 'select seq from waybill_taken where lane = l.lane order by seq'
  const { text, params } =
    sql`select topic, queue, (${raw(end)} limit 1) as first, (${raw(end)} desc limit 1) as last
    from waybill_leases l where reader = ${group} ${ofTopic} and exists (select 1 from waybill_taken where lane = l.lane)`
  const taken = await connection.all(text, ...params)
  return taken.map((row) =>
    inQueue([
      sql`m.topic = ${row['topic']} and m.queue = ${row['queue']}`,
      sql`m.seq >= ${row['first']} and m.seq <= ${row['last']}`,
      isDone,
    ]),
  )
}

/** From the message where that is what narrows it down, else the latest that got there. From the log, and from copies of it. */
function leftTheLog(query: SearchQuery, group: string, state: DispositionState): readonly Sql[] {
  const got = sql`d.grp = ${group} and d.state = ${state} and d.state <> 'done'`
  return ['waybill_messages', 'waybill_copies'].map((table) => {
    const conditions = [got, ...filters(query), ...(table === 'waybill_copies' ? [raw('m.grp = d.grp')] : [])]
    const onId = 'on m.id = d.message_id'
    return isNarrow(query)
      ? select(`${table} m straight_join waybill_dispositions d ${onId}`, conditions, 'm.published_at')
      : select(
          `waybill_dispositions d force index (by_state) straight_join ${table} m ${onId}`,
          conditions,
          'd.at desc, d.message_id',
        )
  })
}

function isNarrow(query: SearchQuery): boolean {
  return query.id !== undefined || query.key !== undefined
}

type Filters = {
  readonly [name in 'id' | 'key' | 'topic' | 'since' | 'until']?: SearchQuery[name] | undefined
}

function filters({ id, key, topic, since, until }: Filters): readonly Sql[] {
  return [
    ...(id === undefined ? [] : [sql`m.id = ${id}`]),
    ...(key === undefined ? [] : [sql`m.msg_key = ${key}`]),
    ...(topic === undefined ? [] : [sql`m.topic = ${topic}`]),
    ...(since === undefined ? [] : [sql`m.published_at >= ${since.getTime()}`]),
    ...(until === undefined ? [] : [sql`m.published_at < ${until.getTime()}`]),
  ]
}

function select(from: string, conditions: readonly Sql[], newest: string): Sql {
  const where = conditions.length === 0 ? raw('') : sql` where ${joined(conditions, ' and ')}`
  return sql`select ${raw(`m.id, m.published_at from ${from}`)}${where} order by ${raw(newest)} desc`
}
