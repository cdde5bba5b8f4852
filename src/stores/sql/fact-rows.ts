import {
  type DispositionFacts,
  type EndedFacts,
  type GroupFacts,
  type HalfFacts,
  type MessageFacts,
  type ReaderFacts,
  type StoreFacts,
  messagesToldMax,
} from '../../core/facts.ts'
import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { Names } from './dialect.ts'
import { topicsOf } from './group-rules.ts'
import { toSource } from './rows.ts'
import type { SqlRow } from './sql.ts'

export function toMessageFacts(
  row: SqlRow,
  place: MessageFacts['place'],
  half: SqlRow | undefined,
  ended: SqlRow | undefined,
  names: Names,
): MessageFacts {
  const source = (row['source'] as string | null | undefined) ?? null
  return {
    id: row['id'] ?? row['message_id'],
    topic: row['topic'],
    // What ended was in no queue.
    queue: row['queue'] ?? 0,
    key: row[names.key],
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

function toHalfFacts(row: SqlRow): HalfFacts {
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

function toEndedFacts(row: SqlRow): EndedFacts {
  return { state: row['state'], at: row['at'], because: row['because'] }
}

/** The ids of rows that may tell of a message more than once, newest first, up to one more than are told about. */
export function newestIds(rows: readonly SqlRow[]): readonly MessageId[] {
  const newestFirst = rows.toSorted(
    (a, b) => b['published_at'] - a['published_at'] || (a['id'] < b['id'] ? 1 : -1),
  )
  return [...new Set(newestFirst.map((row) => row['id'] as MessageId))].slice(0, messagesToldMax + 1)
}

export function topicNamesOf(subscription: string): readonly string[] {
  return topicsOf(subscription).map(({ name }) => name)
}

/** A group with its pause. */
export function toGroupFacts(row: SqlRow): GroupFacts {
  return {
    name: row['name'],
    database: row['database_id'],
    topics: topicNamesOf(row['subscription']),
    ordered: Boolean(row['ordered']),
    paused: row['at'] === null ? null : { at: row['at'], by: row['actor'], because: row['because'] },
  }
}

export function toLandedFacts(row: SqlRow): StoreFacts['landed'][number] {
  return { source: row['source'], topic: row['topic'], queue: row['queue'], position: row['pos'] }
}

export function toDispositionFacts(
  row: SqlRow,
  state: State,
  behind: DispositionFacts['behind'],
): DispositionFacts {
  return {
    group: row['grp'],
    state,
    attempts: row['attempts'] ?? 0,
    generation: row['generation'] ?? 0,
    dueAt: row['due_at'],
    cause: row['cause'],
    because: row['because'],
    dependency: row['dependency'],
    at: row['at'],
    behind,
  }
}

export function toReaderFacts(row: SqlRow): ReaderFacts {
  return {
    reader: row['reader'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['pos'],
    start: row['start_pos'],
    waiting: row['waiting'],
    owner: row['owner'],
    leaseUntil: row['expires_at'],
    sentAt: row['sent_at'],
  }
}
