import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { Found, SearchQuery } from '../../core/store.ts'
import type { Row, SqlValue, SqliteConnection } from './driver.ts'

/** Where messages lie that are not, or never were, in the log. */
const places = {
  delayed: {
    states: ['delayed'],
    sql: "select id, 'delayed' as state, service, topic, tag, key, sharding_key, published_at, queue, pos, eligible_at as due_at, null as at, null as because from waybill_delayed m",
    condition: undefined,
  },
  half: {
    states: ['in-doubt'],
    sql: "select id, 'in-doubt' as state, service, topic, tag, key, sharding_key, published_at, queue, pos, check_at as due_at, null as at, because from waybill_halves m",
    condition: "m.state in ('prepared', 'in-doubt')",
  },
  ended: {
    states: ['cancelled', 'rolled-back', 'expired'],
    sql: 'select message_id as id, state, service, topic, tag, key, sharding_key, published_at, 0 as queue, 0 as pos, null as due_at, at, because from waybill_ended m',
    condition: undefined,
  },
} as const

/** Half messages that are undecided, delayed ones, and what ended without ever entering the log. Newest first within each. */
export function searchElsewhere(
  connection: SqliteConnection,
  query: SearchQuery,
  limit: number,
): readonly Found[] {
  // No group has seen any of them.
  if (query.group !== undefined) return []
  return Object.values(places)
    .filter(({ states }) => query.state === undefined || (states as readonly State[]).includes(query.state))
    .flatMap(({ sql, condition, states }) => {
      const where: string[] = condition === undefined ? [] : [condition]
      const params: SqlValue[] = []
      const add = (text: string, value: SqlValue | undefined): void => {
        if (value === undefined) return
        where.push(text)
        params.push(value)
      }
      add(sql.includes('message_id as id') ? 'm.message_id = ?' : 'm.id = ?', query.id)
      add('m.key = ?', query.key)
      add('m.topic = ?', query.topic)
      add('m.published_at >= ?', query.since?.getTime())
      add('m.published_at < ?', query.until?.getTime())
      if (states.length > 1) add('m.state = ?', query.state)
      const clause = where.length === 0 ? '' : ` where ${where.join(' and ')}`
      return connection
        .all(`${sql}${clause} order by m.published_at desc limit ?`, ...params, limit)
        .map(toFound)
    })
}

function toFound(row: Row): Found {
  const state = row['state'] as State
  return {
    id: row['id'] as MessageId,
    topic: row['topic'] as string,
    tag: row['tag'] as string | null,
    key: row['key'] as string | null,
    shardingKey: row['sharding_key'] as string | null,
    service: row['service'] as string,
    publishedAt: row['published_at'] as number,
    queue: row['queue'] as number,
    position: row['pos'] as number,
    source: null,
    groups: [
      {
        group: state === 'in-doubt' ? '@half' : '@due',
        state,
        attempts: 0,
        dueAt: row['due_at'] as number | null,
        cause: null,
        because: row['because'] as string | null,
        at: row['at'] as number | null,
      },
    ],
  }
}
