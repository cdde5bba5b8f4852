import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { Found, SearchQuery } from '../../core/store.ts'
import type { PgAccess } from './access.ts'
import type { PgConnection } from './connection.ts'
import type { PgRow } from './driver.ts'
import { readersIn } from '../sql/groups.ts'
import { outcomesOf } from './outcomes.ts'
import { placeOf } from './places.ts'
import { texts, toSource } from './rows.ts'
import { searchElsewhere } from './search-elsewhere.ts'
import { askedOf } from './search-queries.ts'
import { newestOnWalk } from './search-walk.ts'
import type { Sequencing } from './sequencing.ts'
import { joined, sql } from '../sql/sql.ts'

const limitDefault = 100
const limitMax = 1_000

export async function search(
  { snapshot }: PgAccess,
  sequencing: Sequencing,
  query: SearchQuery,
): Promise<readonly Found[]> {
  // Where a message stands to the cursors is known of what is in sequence.
  await sequencing.all()
  const limit = Math.min(query.limit ?? limitDefault, limitMax)
  return snapshot(async (connection) => {
    const hits = await hitsOf(connection, query, limit)
    const newestFirst = [...new Set(hits.toSorted(byTime).map((hit) => hit['id'] as MessageId))]
    const inLog = await foundOf(connection, newestFirst.slice(0, limit))
    const elsewhere = await searchElsewhere(connection, query, limit)
    if (elsewhere.length === 0) return inLog
    return [...inLog, ...elsewhere].toSorted((a, b) => b.publishedAt - a.publishedAt).slice(0, limit)
  })
}

async function hitsOf(
  connection: PgConnection,
  query: SearchQuery,
  limit: number,
): Promise<readonly PgRow[]> {
  const readers = query.group === undefined ? await readersIn(connection) : [query.group]
  const { queries, walk } = askedOf(query, readers, limit)
  const walked = walk ? await newestOnWalk(connection, walk, limit) : []
  if (queries.length === 0) return walked
  // Each is limited by itself: one over their union would read all of history.
  const { text, params } = joined(
    queries.map((one) => sql`(${one})`),
    ' union all ',
  )
  return [...walked, ...(await connection.all(text, ...params))]
}

function byTime(a: PgRow, b: PgRow): number {
  const later = b['published_at'] - a['published_at']
  return later !== 0 ? later : a['id'] < b['id'] ? 1 : -1
}

const fields =
  'm.id, m.service, m.topic, m.queue, m.tag, m.key, m.sharding_key, m.published_at, m.source, m.source_queue, m.source_pos'
const fromLog = `select ${fields}, ${placeOf('m')} as pos from waybill_messages m where m.id in (${texts})`
const fromCopies = `select distinct on (m.id) ${fields}, m.pos from waybill_copies m where m.id in (${texts}) order by m.id, m.grp = '@land'`

async function foundOf(connection: PgConnection, ids: readonly MessageId[]): Promise<readonly Found[]> {
  if (ids.length === 0) return []
  const rows = new Map<MessageId, PgRow>()
  for (const from of [fromLog, fromCopies]) {
    const missing = ids.filter((id) => !rows.has(id))
    if (missing.length === 0) break
    for (const row of await connection.all(from, JSON.stringify(missing))) rows.set(row['id'], row)
  }
  const found = ids.flatMap((id) => (rows.has(id) ? [toFound(rows.get(id)!)] : []))
  const outcomes = await outcomesOf(connection, found)
  return found.map((one) => ({ ...one, groups: groupsOf(one, outcomes.get(one.id) ?? []) }))
}

function toFound(row: PgRow): Found {
  const source = row['source'] as string | null
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
    source: source === null ? null : toSource(row, source),
    groups: [],
  }
}

function groupsOf(message: Found, outcomes: readonly PgRow[]): Found['groups'] {
  return outcomes.flatMap((row) => {
    const state = stateOf(row, message)
    if (state === undefined) return []
    return [
      {
        group: row['grp'],
        state,
        attempts: row['attempts'] ?? 0,
        dueAt: row['due_at'],
        cause: row['cause'],
        because: row['because'],
        at: row['at'],
      },
    ]
  })
}

function stateOf(row: PgRow, message: Found): State | undefined {
  const isRelay = row['grp'] === '@relay'
  // The relay carries only what was published here.
  if (isRelay && message.source !== null) return undefined
  if (row['state'] !== null) return row['state']
  if (row['is_ahead']) return isRelay ? 'in-transit' : 'waiting'
  // The cursor is past it and no row is left: relayed, or a receipt that outlived its retention, or older than the group's start.
  return isRelay ? 'done' : undefined
}
