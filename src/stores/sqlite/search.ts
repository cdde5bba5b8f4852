import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { Found, SearchQuery } from '../../core/store.ts'
import type { Row, SqliteConnection } from './driver.ts'
import { toSource } from './rows.ts'
import { searchElsewhere } from './search-elsewhere.ts'
import { copies, messageFields, queriesOf } from './search-queries.ts'

const limitDefault = 100
const limitMax = 1_000

export function search(connection: SqliteConnection, query: SearchQuery): readonly Found[] {
  const limit = Math.min(query.limit ?? limitDefault, limitMax)
  // Each query is answered from an index and limited by itself: one over their union would read all of history.
  const hits = queriesOf(connection, query).flatMap(({ sql, params }) =>
    connection.all(`${sql} limit ?`, ...params, limit),
  )
  const elsewhere = searchElsewhere(connection, query, limit)
  const newestFirst = [...new Set(hits.sort(byTime).map((hit) => hit['id'] as MessageId))]
  const inLog = newestFirst.slice(0, limit).flatMap((id) => {
    const row = connection.all(
      `select ${messageFields} from waybill_messages where id = ? union all select ${messageFields} from ${copies} where id = ? limit 1`,
      id,
      id,
    )[0]
    return row ? [toFound(connection, row)] : []
  })
  if (elsewhere.length === 0) return inLog
  return [...inLog, ...elsewhere].toSorted((a, b) => b.publishedAt - a.publishedAt).slice(0, limit)
}

function byTime(a: Row, b: Row): number {
  const later = (b['published_at'] as number) - (a['published_at'] as number)
  return later !== 0 ? later : (a['id'] as string) < (b['id'] as string) ? 1 : -1
}

function toFound(connection: SqliteConnection, row: Row): Found {
  const source = row['source'] as string | null
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
    source: source === null ? null : toSource(row, source),
    groups: groupsOf(connection, row),
  }
}

function groupsOf(connection: SqliteConnection, message: Row): Found['groups'] {
  const of = [message['id'] as string, message['topic'] as string, message['queue'] as number]
  const rows = connection.all(
    `select c.reader as grp, c.pos as cursor, d.state, d.attempts, d.due_at, d.cause, d.because, d.at
     from waybill_cursors c left join waybill_dispositions d on d.grp = c.reader and d.message_id = ?
     where c.topic = ? and c.queue = ? and c.reader not like '@land:%'
     union all
     select grp, 0, state, attempts, due_at, cause, because, at from waybill_dispositions
     where message_id = ? and state <> 'done' and grp not in (select reader from waybill_cursors where topic = ? and queue = ?)
     order by 1`,
    ...of,
    ...of,
  )
  return rows.flatMap((row) => {
    const state = stateOf(row, message)
    if (state === undefined) return []
    return [
      {
        group: row['grp'] as string,
        state,
        attempts: (row['attempts'] as number | null) ?? 0,
        dueAt: row['due_at'] as number | null,
        cause: row['cause'] as string | null,
        because: row['because'] as string | null,
        at: row['at'] as number | null,
      },
    ]
  })
}

function stateOf(row: Row, message: Row): State | undefined {
  const isRelay = row['grp'] === '@relay'
  // The relay carries only what was published here.
  if (isRelay && message['source'] !== null) return undefined
  if (row['state'] !== null) return row['state'] as State
  if ((row['cursor'] as number) < (message['pos'] as number)) return isRelay ? 'in-transit' : 'waiting'
  // The cursor is past it and no row is left: relayed, or a receipt that outlived its retention, or older than the group's start.
  return isRelay ? 'done' : undefined
}
