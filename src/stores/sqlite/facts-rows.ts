import type { DependencySight, DependencyState } from '../../core/dependencies.ts'
import type { EndedFacts, GroupFacts, HalfFacts, MessageFacts, StoreFacts } from '../../core/facts.ts'
import type { DecidedBy, HalfState } from '../../core/half.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Row, SqliteConnection } from './driver.ts'
import { toSource } from './rows.ts'

export function toMessageFacts(
  row: Row,
  place: MessageFacts['place'],
  half: Row | undefined,
  ended: Row | undefined,
): MessageFacts {
  const source = (row['source'] as string | null | undefined) ?? null
  return {
    id: (row['id'] ?? row['message_id']) as MessageId,
    topic: row['topic'] as string,
    // What ended was in no queue.
    queue: (row['queue'] as number | undefined) ?? 0,
    key: row['key'] as string | null,
    tag: row['tag'] as string | null,
    shardingKey: row['sharding_key'] as string | null,
    service: row['service'] as string,
    publishedAt: row['published_at'] as number,
    eligibleAt: (row['eligible_at'] ?? row['published_at']) as number,
    place,
    position: (row['pos'] as number | undefined) ?? 0,
    source: source === null ? null : toSource(row, source),
    half: half ? toHalfFacts(half) : null,
    ended: ended ? toEndedFacts(ended) : null,
    relayed: null,
    suppressed: [],
    groups: [],
  }
}

function toHalfFacts(row: Row): HalfFacts {
  return {
    state: row['state'] as HalfState,
    checks: row['checks'] as number,
    failures: row['failures'] as number,
    checkAt: row['check_at'] as number | null,
    decidedAt: row['decided_at'] as number | null,
    decidedBy: row['decided_by'] as DecidedBy | null,
    because: row['because'] as string | null,
  }
}

function toEndedFacts(row: Row): EndedFacts {
  return {
    state: row['state'] as EndedFacts['state'],
    at: row['at'] as number,
    because: row['because'] as string | null,
  }
}

export function groupFacts(connection: SqliteConnection): readonly GroupFacts[] {
  return connection
    .all(
      `select g.name, g.database_id, g.subscription, g.ordered, p.at, p.actor, p.because
       from waybill_groups g left join waybill_pauses p on p.grp = g.name order by g.name`,
    )
    .map((row) => ({
      name: row['name'] as string,
      database: row['database_id'] as string,
      topics: topicsOf(row['subscription'] as string),
      ordered: row['ordered'] === 1,
      paused:
        row['at'] === null
          ? null
          : {
              at: row['at'] as number,
              by: row['actor'] as string,
              because: row['because'] as string,
            },
    }))
}

/** A group that consumes in another database is registered here without its subscription. */
export function topicsOf(subscription: string): readonly string[] {
  if (subscription === '') return []
  return (JSON.parse(subscription) as { topics: [name: string, tags: string][] }).topics.map(([name]) => name)
}

export function sightFacts(connection: SqliteConnection): readonly DependencySight[] {
  return connection.all('select * from waybill_dependencies order by name, owner').map((row) => ({
    name: row['name'] as string,
    owner: row['owner'] as string,
    service: row['service'] as string,
    state: row['state'] as DependencyState,
    since: row['since'] as number,
    because: row['because'] as string | null,
    groups: JSON.parse(row['groups'] as string) as string[],
    until: row['until'] as number,
  }))
}

export function landedFacts(connection: SqliteConnection): StoreFacts['landed'] {
  return connection.all('select * from waybill_landed order by source, topic, queue').map((row) => ({
    source: row['source'] as string,
    topic: row['topic'] as string,
    queue: row['queue'] as number,
    position: row['pos'] as number,
  }))
}
