import type { EndedFacts, GroupFacts, HalfFacts, MessageFacts, StoreFacts } from '../../core/facts.ts'
import type { DependencySight } from '../../core/dependencies.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { toSource } from './rows.ts'

export function toMessageFacts(
  row: MyRow,
  place: MessageFacts['place'],
  half: MyRow | undefined,
  ended: MyRow | undefined,
): MessageFacts {
  const source = (row['source'] as string | null | undefined) ?? null
  return {
    id: row['id'] ?? row['message_id'],
    topic: row['topic'],
    // What ended was in no queue.
    queue: row['queue'] ?? 0,
    key: row['msg_key'],
    tag: row['tag'],
    shardingKey: row['sharding_key'],
    service: row['service'],
    publishedAt: row['published_at'],
    eligibleAt: row['eligible_at'] ?? row['published_at'],
    place,
    position: row['pos'] ?? 0,
    source: source === null ? null : toSource(row, source),
    half: half ? toHalfFacts(half) : null,
    ended: ended ? toEndedFacts(ended) : null,
    relayed: null,
    suppressed: [],
    groups: [],
  }
}

function toHalfFacts(row: MyRow): HalfFacts {
  return {
    state: row['state'],
    checks: row['checks'],
    failures: row['failures'],
    checkAt: row['check_at'],
    decidedAt: row['decided_at'],
    decidedBy: row['decided_by'],
    because: row['because'],
  }
}

function toEndedFacts(row: MyRow): EndedFacts {
  return { state: row['state'], at: row['at'], because: row['because'] }
}

export async function groupFacts(connection: MyConnection): Promise<readonly GroupFacts[]> {
  const rows = await connection.all(
    `select g.name, g.database_id, g.subscription, g.ordered, p.at, p.actor, p.because
     from waybill_groups g left join waybill_pauses p on p.grp = g.name order by g.name`,
  )
  return rows.map((row) => ({
    name: row['name'],
    database: row['database_id'],
    topics: topicsOf(row['subscription']),
    ordered: row['ordered'] === 1,
    paused: row['at'] === null ? null : { at: row['at'], by: row['actor'], because: row['because'] },
  }))
}

/** A group that consumes in another database is registered here without its subscription. */
export function topicsOf(subscription: string): readonly string[] {
  if (subscription === '') return []
  return (JSON.parse(subscription) as { topics: [name: string, tags: string][] }).topics.map(([name]) => name)
}

export async function sightFacts(connection: MyConnection): Promise<readonly DependencySight[]> {
  const rows = await connection.all('select * from waybill_dependencies order by name, owner')
  return rows.map((row) => ({
    name: row['name'],
    owner: row['owner'],
    service: row['service'],
    state: row['state'],
    since: row['since'],
    because: row['because'],
    groups: JSON.parse(row['of_groups']) as string[],
    until: row['until_ms'],
  }))
}

export async function landedFacts(connection: MyConnection): Promise<StoreFacts['landed']> {
  const rows = await connection.all('select * from waybill_landed order by source, topic, queue')
  return rows.map((row) => ({
    source: row['source'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['pos'],
  }))
}
