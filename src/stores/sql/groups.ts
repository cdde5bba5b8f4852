import { dueReader } from '../../core/delayed.ts'
import type { GroupDeclaration, QueueName, StartPosition, TopicDeclaration } from '../../core/store.ts'
import type { SqlConnection } from './connection.ts'
import {
  type GroupOrder,
  beyondTheLog,
  checkDatabase,
  checkSubscription,
  describeStart,
  landingGroup,
  startPositionNeeded,
  subscriptionOf,
  toOrder,
} from './group-rules.ts'

/** Expects that everything committed is in sequence where the group begins now or at a date: its place is looked up there. */
export async function declareGroup(
  connection: SqlConnection,
  group: GroupDeclaration,
  databaseId: string,
): Promise<void> {
  await lockGroup(connection, group.name)
  const [stored] = await connection.all('select * from waybill_groups where name = ?', group.name)
  if (stored) {
    checkDatabase(group.name, stored['database_id'], databaseId)
    checkSubscription(group, stored)
  }
  if (group.from === undefined) await refuseSilentBacklog(connection, group)
  const version = Math.max(group.subscriptionVersion, stored?.['version'] ?? 0)
  if (!stored || group.subscriptionVersion >= stored['version']) {
    await connection.run(
      connection.dialect.upsert(
        'waybill_groups (name, database_id, version, subscription, start, ordered, on_failure, created_at) values (?, ?, ?, ?, ?, ?, ?, waybill_now())',
        'name',
        ['version', 'subscription', 'ordered', 'on_failure'],
      ),
      group.name,
      databaseId,
      version,
      subscriptionOf(group),
      describeStart(group.from ?? 'oldest'),
      group.ordered,
      group.onFailure,
    )
  }
  await createCursors(connection, group.name, group.topics, group.from ?? 'oldest', databaseId)
}

/** A group may not consume on two databases: each would give every message its own effect (P26). */
export async function registerGroups(
  connection: SqlConnection,
  groups: readonly string[],
  databaseId: string,
): Promise<void> {
  for (const name of groups.toSorted()) {
    await connection.run(
      connection.dialect.insertNew(
        "waybill_groups (name, database_id, version, subscription, start, ordered, on_failure, created_at) values (?, ?, 0, '', '', false, 'hold', waybill_now())",
      ),
      name,
      databaseId,
    )
    const [row] = await connection.all('select database_id from waybill_groups where name = ?', name)
    checkDatabase(name, row!['database_id'], databaseId)
  }
}

/** Two declarations of one group take turns, and its removal: each sees what the other has stored. */
export async function lockGroup(connection: SqlConnection, group: string): Promise<void> {
  const { text, params } = connection.dialect.lockGroup(group)
  await connection.all(text, ...params)
}

export async function createCursors(
  connection: SqlConnection,
  reader: string,
  topics: readonly TopicDeclaration[],
  from: StartPosition,
  epoch: string,
): Promise<void> {
  const { insertNew } = connection.dialect
  for (const topic of topics) {
    for (let queue = 0; queue < topic.queues; queue++) {
      const name = [reader, topic.name, queue] as const
      const known = await connection.all(
        'select 1 from waybill_cursors where reader = ? and topic = ? and queue = ?',
        ...name,
      )
      if (known.length > 0) continue
      const start =
        reader === dueReader ? beyondTheLog : await startOf(connection, { topic: topic.name, queue }, from)
      await connection.run(
        insertNew('waybill_cursors (reader, topic, queue, pos, start_pos, epoch) values (?, ?, ?, ?, ?, ?)'),
        ...name,
        start,
        start,
        epoch,
      )
      await connection.run(insertNew('waybill_leases (reader, topic, queue) values (?, ?, ?)'), ...name)
    }
  }
}

export async function countOlder(
  connection: SqlConnection,
  reader: string,
  topics: readonly string[],
): Promise<number> {
  let older = 0
  for (const topic of topics) {
    const known = await connection.all(
      'select 1 from waybill_cursors where reader = ? and topic = ? limit 1',
      reader,
      topic,
    )
    if (known.length > 0) continue
    const [row] = await connection.all('select count(*) as n from waybill_messages where topic = ?', topic)
    older += row!['n']
  }
  return older
}

/** Undefined for what is no declared group, such as the relay. */
export async function orderOf(connection: SqlConnection, group: string): Promise<GroupOrder | undefined> {
  const [row] = await connection.all('select ordered, on_failure from waybill_groups where name = ?', group)
  return row && toOrder(row)
}

/** Whoever may have dispositions: groups, relay and landing, and groups that were removed. */
export async function readersIn(connection: SqlConnection): Promise<readonly string[]> {
  // A walk over the first column of the key: a plain `distinct` would read every receipt.
  const rows = await connection.all(
    `with recursive walk as (
       select min(grp) as grp from waybill_dispositions
       union all select (select min(grp) from waybill_dispositions where grp > walk.grp) from walk where walk.grp is not null
     ) select grp from walk where grp is not null union select reader from waybill_leases`,
  )
  return [...new Set([...rows.map((row) => row['grp'] as string), landingGroup])]
}

async function refuseSilentBacklog(connection: SqlConnection, group: GroupDeclaration): Promise<void> {
  const topics = group.topics.map((topic) => topic.name)
  const older = await countOlder(connection, group.name, topics)
  if (older > 0) throw startPositionNeeded(group.name, older)
}

async function startOf(connection: SqlConnection, queue: QueueName, from: StartPosition): Promise<number> {
  if (from === 'oldest') return 0
  // Before the first that is eligible since then: publishers' clocks differ, so older ones may come after it.
  const since = from === 'now' ? undefined : await firstSince(connection, queue, from)
  if (since !== undefined) return since - 1
  const [row] = await connection.all(
    'select seq from waybill_ends where topic = ? and queue = ?',
    queue.topic,
    queue.queue,
  )
  return (row?.['seq'] as number | undefined) ?? 0
}

async function firstSince(
  connection: SqlConnection,
  queue: QueueName,
  date: Date,
): Promise<number | undefined> {
  const { text, params } = connection.dialect.firstSince(queue, date.getTime())
  const [row] = await connection.all(text, ...params)
  return (row?.['seq'] as number | null) ?? undefined
}
