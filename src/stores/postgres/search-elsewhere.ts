import type { State } from '../../core/state.ts'
import type { Found, SearchQuery } from '../../core/store.ts'
import type { PgConnection } from './connection.ts'
import type { PgRow } from './driver.ts'
import { type Sql, joined, raw, sql } from '../sql/sql.ts'

/** Where messages lie that are not, or never were, in the log: one for each state that they are stored in, as its index has them. */
interface Place {
  readonly state: State
  readonly id: string
  readonly columns: string
  readonly from: string
  readonly newest: string
}

const common = 'm.service, m.topic, m.tag, m.key, m.sharding_key, m.published_at'
const delayed: Place = {
  state: 'delayed',
  id: 'm.id',
  columns: `${common}, m.queue, m.pos, m.eligible_at as due_at, null::bigint as at, null as because`,
  from: 'waybill_delayed m where true',
  newest: 'm.pos',
}
const halves = ['prepared', 'in-doubt'].map((stored): Place => ({
  state: 'in-doubt',
  id: 'm.id',
  columns: `${common}, m.queue, m.pos, m.check_at as due_at, null::bigint as at, m.because`,
  from: `waybill_halves m where m.state = '${stored}'`,
  newest: 'm.published_at',
}))
const ended = (['cancelled', 'rolled-back', 'expired'] as const).map((state): Place => ({
  state,
  id: 'm.message_id',
  columns: `${common}, 0 as queue, 0::bigint as pos, null::bigint as due_at, m.at, m.because`,
  from: `waybill_ended m where m.state = '${state}'`,
  newest: 'm.published_at',
}))
const places = [delayed, ...halves, ...ended]

/** Half messages that are undecided, delayed ones, and what ended without ever entering the log. Newest first within each. */
export async function searchElsewhere(
  connection: PgConnection,
  query: SearchQuery,
  limit: number,
): Promise<readonly Found[]> {
  // No group has seen any of them.
  if (query.group !== undefined) return []
  const asked = places.filter(({ state }) => query.state === undefined || query.state === state)
  if (asked.length === 0) return []
  const selects = asked.map((place) => selectOf(place, query, limit))
  const { text, params } = joined(selects, ' union all ')
  return (await connection.all(text, ...params)).map(toFound)
}

function selectOf({ state, id, columns, from, newest }: Place, query: SearchQuery, limit: number): Sql {
  const conditions = [
    query.id === undefined ? [] : [sql`and ${raw(id)} = ${query.id}`],
    query.key === undefined ? [] : [sql`and m.key = ${query.key}`],
    query.topic === undefined ? [] : [sql`and m.topic = ${query.topic}`],
    query.since === undefined ? [] : [sql`and m.published_at >= ${query.since.getTime()}`],
    query.until === undefined ? [] : [sql`and m.published_at < ${query.until.getTime()}`],
  ].flat()
  return sql`(select ${raw(`'${state}' as state, ${id} as id, ${columns} from ${from}`)} ${joined(conditions, ' ')}
    order by ${raw(newest)} desc limit ${limit})`
}

function toFound(row: PgRow): Found {
  const state = row['state'] as State
  return {
    id: row['id'],
    topic: row['topic'],
    tag: row['tag'],
    key: row['key'],
    shardingKey: row['sharding_key'],
    service: row['service'],
    publishedAt: row['published_at'],
    queue: row['queue'],
    position: row['pos'],
    source: null,
    groups: [
      {
        group: state === 'in-doubt' ? '@half' : '@due',
        state,
        attempts: 0,
        dueAt: row['due_at'],
        cause: null,
        because: row['because'],
        at: row['at'],
      },
    ],
  }
}
