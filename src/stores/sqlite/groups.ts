import { dueReader } from '../../core/delayed.ts'
import type { GroupDeclaration, StartPosition, TopicDeclaration } from '../../core/store.ts'
import {
  type GroupOrder,
  beyondTheLog,
  checkDatabase,
  checkSubscription,
  describeStart,
  startPositionNeeded,
  subscriptionOf,
  toOrder,
} from '../sql/group-rules.ts'
import type { SqliteConnection } from './driver.ts'

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
  return row && toOrder(row)
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

function refuseSilentBacklog(connection: SqliteConnection, group: GroupDeclaration): void {
  const older = countOlder(
    connection,
    group.name,
    group.topics.map((topic) => topic.name),
  )
  if (older > 0) throw startPositionNeeded(group.name, older)
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
