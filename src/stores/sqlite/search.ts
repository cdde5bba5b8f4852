import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { Found, SearchQuery } from '../../core/store.ts'
import type { Row, SqlValue, SqliteConnection } from './driver.ts'
import { toSource } from './rows.ts'

const limitDefault = 100
const limitMax = 1_000

/** A message's columns from the log, or from its copy once the log row is purged. */
const fields = 'id, service, topic, queue, pos, tag, key, sharding_key, published_at, source, source_queue, source_pos'

export function search(connection: SqliteConnection, query: SearchQuery): readonly Found[] {
  const limit = Math.min(query.limit ?? limitDefault, limitMax)
  const { sql, params } = selectIds(query)
  const ids = connection.all(`${sql} limit ?`, ...params, limit).map((row) => row['id'] as MessageId)
  return ids.flatMap((id) => {
    const row = connection.all(`select ${fields} from waybill_messages where id = ?1 union all select ${fields.replace('id,', 'message_id as id,')} from waybill_copies where message_id = ?1 limit 1`, id)[0]
    return row ? [toFound(connection, row)] : []
  })
}

function selectIds(query: SearchQuery): { sql: string; params: SqlValue[] } {
  const where: string[] = []
  const params: SqlValue[] = []
  const add = (condition: string, ...values: readonly (SqlValue | undefined)[]): void => {
    if (values.some((value) => value === undefined)) return
    where.push(condition)
    params.push(...(values as readonly SqlValue[]))
  }
  const from = sourceOf(query, add)
  add('m.id = ?', query.id)
  add('m.key = ?', query.key)
  add('m.topic = ?', query.topic)
  add('m.published_at >= ?', query.since?.getTime())
  add('m.published_at < ?', query.until?.getTime())
  return { sql: `select distinct m.id from ${from}${where.length > 0 ? ` where ${where.join(' and ')}` : ''} order by m.id desc`, params }
}

function sourceOf(query: SearchQuery, add: (condition: string, ...values: readonly (SqlValue | undefined)[]) => void): string {
  if (query.state === undefined) {
    if (query.group === undefined) return 'waybill_messages m'
    add('c.reader = ?', query.group)
    return 'waybill_cursors c join waybill_messages m on m.topic = c.topic and m.queue = c.queue'
  }
  if (query.state === 'waiting' || query.state === 'in-transit') {
    if (query.state === 'in-transit') add('c.reader = ?', '@relay')
    else add("c.reader = coalesce(?, c.reader) and c.reader not like '@%'", query.group ?? null)
    add('m.pos > c.pos and not exists (select 1 from waybill_dispositions d where d.grp = c.reader and d.message_id = m.id) and (c.reader <> ? or m.source is null)', '@relay')
    return 'waybill_cursors c join waybill_messages m on m.topic = c.topic and m.queue = c.queue'
  }
  add('d.state = ?', query.state)
  add('d.grp = ?', query.group)
  return `waybill_dispositions d join (select id, key, topic, published_at from waybill_messages union select message_id, key, topic, published_at from waybill_copies) m on m.id = d.message_id`
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
  const rows = connection.all(
    `select c.reader as grp, c.pos as cursor, d.state, d.attempts, d.due_at, d.cause, d.because, d.at
     from waybill_cursors c left join waybill_dispositions d on d.grp = c.reader and d.message_id = ?1
     where c.topic = ?2 and c.queue = ?3 and c.reader not like '@land:%'
     union all
     select grp, 0, state, attempts, due_at, cause, because, at from waybill_dispositions
     where message_id = ?1 and grp not in (select reader from waybill_cursors where topic = ?2 and queue = ?3)
     order by 1`,
    message['id'] as string, message['topic'] as string, message['queue'] as number,
  )
  return rows.flatMap((row) => {
    const state = stateOf(row, message)
    if (state === undefined) return []
    return [{ group: row['grp'] as string, state, attempts: (row['attempts'] as number | null) ?? 0, dueAt: row['due_at'] as number | null, cause: row['cause'] as string | null, because: row['because'] as string | null, at: row['at'] as number | null }]
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
