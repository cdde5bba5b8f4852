import { dueReader } from '../../core/delayed.ts'
import { WaybillError } from '../../core/errors.ts'
import type { GroupDeclaration, StartPosition, TopicDeclaration } from '../../core/store.ts'
import type { Row, SqlValue, SqliteConnection } from './driver.ts'

/** How a group deals with the order of its keys; what `read` and `settle` need to know of it. */
export interface GroupOrder {
  readonly ordered: boolean
  readonly onFailure: 'hold' | 'skip'
}

/** The reader under which messages lie that could not even be landed. */
export const landingGroup = '@land'

export const unordered: GroupOrder = { ordered: false, onFailure: 'hold' }

export function declareGroup(
  connection: SqliteConnection,
  group: GroupDeclaration,
  databaseId: string,
  epoch: string,
  now: number,
): void {
  const stored = connection.all('select * from waybill_groups where name = ?', group.name)[0]
  if (stored) {
    checkDatabase(group.name, stored['database_id'], databaseId)
    checkSubscription(group, stored)
  }
  if (group.from === undefined) refuseSilentBacklog(connection, group)
  const version = Math.max(group.subscriptionVersion, Number(stored?.['version'] ?? 0))
  if (!stored || group.subscriptionVersion >= Number(stored['version'])) {
    connection.run(
      `insert into waybill_groups (name, database_id, version, subscription, start, ordered, on_failure, created_at) values (?, ?, ?, ?, ?, ?, ?, ?)
       on conflict (name) do update set version = excluded.version, subscription = excluded.subscription, ordered = excluded.ordered, on_failure = excluded.on_failure`,
      group.name,
      databaseId,
      version,
      subscriptionOf(group),
      describeStart(group.from ?? 'oldest'),
      group.ordered ? 1 : 0,
      group.onFailure,
      now,
    )
  }
  createCursors(connection, group.name, group.topics, group.from ?? 'oldest', epoch)
}

/** A group may not consume on two databases: each would give every message its own effect (P26). */
export function registerGroups(
  connection: SqliteConnection,
  groups: readonly string[],
  databaseId: string,
  now: number,
): void {
  for (const name of groups) {
    connection.run(
      `insert into waybill_groups (name, database_id, version, subscription, start, ordered, on_failure, created_at) values (?, ?, 0, '', '', 0, 'hold', ?) on conflict do nothing`,
      name,
      databaseId,
      now,
    )
    const row = connection.all('select database_id from waybill_groups where name = ?', name)[0]!
    checkDatabase(name, row['database_id'], databaseId)
  }
}

function checkDatabase(group: string, holder: SqlValue | undefined, databaseId: string): void {
  if (holder === databaseId) return
  throw new WaybillError(
    'group.other-database',
    `consumer group ${group} already consumes on another database; each would run every message's effect once; give this one another name`,
    { group },
  )
}

/** The mover of due messages reads no log: it is ahead of every message, and holds up no purge. */
const beyondTheLog = Number.MAX_SAFE_INTEGER

export function createCursors(
  connection: SqliteConnection,
  reader: string,
  topics: readonly TopicDeclaration[],
  from: StartPosition,
  epoch: string,
): void {
  for (const topic of topics) {
    for (let queue = 0; queue < topic.queues; queue++) {
      const exists =
        connection.all(
          'select 1 from waybill_cursors where reader = ? and topic = ? and queue = ?',
          reader,
          topic.name,
          queue,
        ).length > 0
      if (exists) continue
      const start = reader === dueReader ? beyondTheLog : startOf(connection, topic.name, queue, from)
      connection.run(
        'insert into waybill_cursors (reader, topic, queue, pos, start_pos, epoch) values (?, ?, ?, ?, ?, ?)',
        reader,
        topic.name,
        queue,
        start,
        start,
        epoch,
      )
      connection.run(
        'insert into waybill_leases (reader, topic, queue) values (?, ?, ?) on conflict do nothing',
        reader,
        topic.name,
        queue,
      )
    }
  }
}

export function countOlder(connection: SqliteConnection, reader: string, topics: readonly string[]): number {
  let older = 0
  for (const topic of topics) {
    const known =
      connection.all('select 1 from waybill_cursors where reader = ? and topic = ? limit 1', reader, topic)
        .length > 0
    if (!known)
      older += Number(
        connection.all('select count(*) as n from waybill_messages where topic = ?', topic)[0]!['n'],
      )
  }
  return older
}

/** Undefined for what is no declared group, such as the relay. */
export function orderOf(connection: SqliteConnection, group: string): GroupOrder | undefined {
  const row = connection.all('select ordered, on_failure from waybill_groups where name = ?', group)[0]
  return row && { ordered: row['ordered'] === 1, onFailure: row['on_failure'] === 'skip' ? 'skip' : 'hold' }
}

/** From one group to the next along the primary key: all of them read would be every receipt. */
const groupsWithDispositions = `with recursive found(grp) as (
    select min(grp) from waybill_dispositions
    union all select (select min(grp) from waybill_dispositions where grp > found.grp) from found where found.grp is not null
  ) select grp from found where grp is not null`

/** Whoever may have dispositions: groups, also removed ones, the relay and landing. */
export function readersIn(connection: SqliteConnection): readonly string[] {
  const rows = connection.all(
    `select reader from waybill_cursors union select grp from (${groupsWithDispositions})`,
  )
  return rows.map((row) => row['reader'] as string)
}

function checkSubscription(group: GroupDeclaration, stored: Row): void {
  const isRegisteredOnly = stored['subscription'] === ''
  const isOtherVersion = Number(stored['version']) !== group.subscriptionVersion
  if (isRegisteredOnly || isOtherVersion || stored['subscription'] === subscriptionOf(group)) return
  throw new WaybillError(
    'group.subscription-differs',
    `consumer group ${group.name} is stored with other topics, tags or order under subscription version ${group.subscriptionVersion}; if the change is meant, raise subscriptionVersion: instances of the older one then stop taking messages`,
    { group: group.name, stored: stored['subscription'], declared: subscriptionOf(group) },
  )
}

function refuseSilentBacklog(connection: SqliteConnection, group: GroupDeclaration): void {
  const older = countOlder(
    connection,
    group.name,
    group.topics.map((topic) => topic.name),
  )
  if (older > 0) throw startPositionNeeded(group.name, older)
}

export function startPositionNeeded(group: string, older: number): WaybillError {
  return new WaybillError(
    'group.start-position-needed',
    `consumer group ${group} is new and ${older} older messages are there; say where it starts: from: 'oldest' (handle them), 'now' (skip them) or a Date`,
    { group, older },
  )
}

function subscriptionOf(group: GroupDeclaration): string {
  const topics = group.topics
    .map((topic) => [topic.name, group.tags[topic.name] ?? '*'] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify({ topics, ordered: group.ordered, onFailure: group.onFailure })
}

function describeStart(from: StartPosition): string {
  return from instanceof Date ? from.toISOString() : from
}

function startOf(connection: SqliteConnection, topic: string, queue: number, from: StartPosition): number {
  if (from === 'oldest') return 0
  // Before the first that is eligible since then: publishers' clocks differ, so older ones may come after it.
  const since = from === 'now' ? undefined : firstSince(connection, topic, queue, from)
  if (since !== undefined) return since - 1
  const row = connection.all(
    'select coalesce(max(pos), 0) as pos from waybill_messages where topic = ? and queue = ?',
    topic,
    queue,
  )[0]!
  return row['pos'] as number
}

function firstSince(
  connection: SqliteConnection,
  topic: string,
  queue: number,
  date: Date,
): number | undefined {
  const row = connection.all(
    'select pos from waybill_messages where topic = ? and queue = ? and eligible_at >= ? order by pos limit 1',
    topic,
    queue,
    date.getTime(),
  )[0]
  return row?.['pos'] as number | undefined
}
