import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { Found, SearchQuery } from '../../core/store.ts'
import type { MyAccess } from './access.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { outcomesOf } from './outcomes.ts'
import { placeOf } from './log.ts'
import { texts, toSource } from './rows.ts'
import { searchElsewhere } from './search-elsewhere.ts'
import { queriesOf } from './search-queries.ts'
import type { Sequencing } from './sequencing.ts'

const limitDefault = 100
const limitMax = 1_000

export async function search(
  { snapshot }: MyAccess,
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
  connection: MyConnection,
  query: SearchQuery,
  limit: number,
): Promise<readonly MyRow[]> {
  const hits: MyRow[] = []
  // Each is limited by itself: one over their union would read all of history.
  for (const { text, params } of await queriesOf(connection, query))
    hits.push(...(await connection.all(`${text} limit ?`, ...params, limit)))
  return hits
}

function byTime(a: MyRow, b: MyRow): number {
  const later = b['published_at'] - a['published_at']
  return later !== 0 ? later : a['id'] < b['id'] ? 1 : -1
}

const fields =
  'm.id, m.service, m.topic, m.queue, m.tag, m.msg_key, m.sharding_key, m.published_at, m.source, m.source_queue, m.source_pos'
const fromLog = `select ${fields}, ${placeOf('m')} as pos from waybill_messages m where m.id in (${texts})`
/** The one that was parked at landing last, so that the other stands over it. */
const fromCopies = `select ${fields}, m.pos from waybill_copies m where m.id in (${texts}) order by m.grp = '@land' desc`

async function foundOf(connection: MyConnection, ids: readonly MessageId[]): Promise<readonly Found[]> {
  if (ids.length === 0) return []
  const rows = new Map<MessageId, MyRow>()
  for (const from of [fromLog, fromCopies]) {
    const missing = ids.filter((id) => !rows.has(id))
    if (missing.length === 0) break
    for (const row of await connection.all(from, JSON.stringify(missing))) rows.set(row['id'], row)
  }
  const found = ids.flatMap((id) => (rows.has(id) ? [toFound(rows.get(id)!)] : []))
  const outcomes = await outcomesOf(connection, found)
  return found.map((one) => ({ ...one, groups: groupsOf(one, outcomes.get(one.id) ?? []) }))
}

function toFound(row: MyRow): Found {
  const source = row['source'] as string | null
  return {
    id: row['id'],
    topic: row['topic'],
    tag: row['tag'],
    key: row['msg_key'],
    shardingKey: row['sharding_key'],
    service: row['service'],
    publishedAt: row['published_at'],
    queue: row['queue'],
    position: row['pos'],
    source: source === null ? null : toSource(row, source),
    groups: [],
  }
}

function groupsOf(message: Found, outcomes: readonly MyRow[]): Found['groups'] {
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

function stateOf(row: MyRow, message: Found): State | undefined {
  const isRelay = row['grp'] === '@relay'
  // The relay carries only what was published here.
  if (isRelay && message.source !== null) return undefined
  if (row['state'] !== null) return row['state']
  if (row['is_ahead'] === 1) return isRelay ? 'in-transit' : 'waiting'
  // The cursor is past it and no row is left: relayed, or a receipt that outlived its retention, or older than the group's start.
  return isRelay ? 'done' : undefined
}
