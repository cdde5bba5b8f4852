import { dueReader } from '../../core/delayed.ts'
import { WaybillError } from '../../core/errors.ts'
import type { GroupDeclaration, StartPosition, TopicDeclaration } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { lockOf, takeLocks } from './locks.ts'

/** How a group deals with the order of its keys; what `read` and `settle` need to know of it. */
export interface GroupOrder {
  readonly ordered: boolean
  readonly onFailure: 'hold' | 'skip'
}

/** The reader under which messages lie that could not even be landed. */
export const landingGroup = '@land'

export const unordered: GroupOrder = { ordered: false, onFailure: 'hold' }

/** Expects that everything committed is in sequence: whoever is new starts from its end, or counts what is there. */
export async function declareGroup(
  connection: MyConnection,
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
      `insert into waybill_groups (name, database_id, version, subscription, start, ordered, on_failure, created_at) values (?, ?, ?, ?, ?, ?, ?, waybill_now())
       on duplicate key update version = values(version), subscription = values(subscription), ordered = values(ordered), on_failure = values(on_failure)`,
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
  connection: MyConnection,
  groups: readonly string[],
  databaseId: string,
): Promise<void> {
  for (const name of groups.toSorted()) {
    await connection.run(
      `insert ignore into waybill_groups (name, database_id, version, subscription, start, ordered, on_failure, created_at)
       values (?, ?, 0, '', '', false, 'hold', waybill_now())`,
      name,
      databaseId,
    )
    const [row] = await connection.all('select database_id from waybill_groups where name = ?', name)
    checkDatabase(name, row!['database_id'], databaseId)
  }
}

/** Two declarations of one group take turns, and its removal: each sees what the other has stored. */
export async function lockGroup(connection: MyConnection, group: string): Promise<void> {
  await takeLocks(connection, [lockOf('group', group)])
}

function checkDatabase(group: string, holder: string, databaseId: string): void {
  if (holder === databaseId) return
  throw new WaybillError(
    'group.other-database',
    `consumer group ${group} already consumes on another database; each would run every message's effect once; give this one another name`,
    { group },
  )
}

/** The mover of due messages reads no log: it is ahead of every message, and holds up no purge. */
const beyondTheLog = Number.MAX_SAFE_INTEGER

export async function createCursors(
  connection: MyConnection,
  reader: string,
  topics: readonly TopicDeclaration[],
  from: StartPosition,
  epoch: string,
): Promise<void> {
  for (const topic of topics) {
    for (let queue = 0; queue < topic.queues; queue++) {
      const name = [reader, topic.name, queue] as const
      const known = await connection.all(
        'select 1 from waybill_cursors where reader = ? and topic = ? and queue = ?',
        ...name,
      )
      if (known.length > 0) continue
      const start = reader === dueReader ? beyondTheLog : await startOf(connection, topic.name, queue, from)
      await connection.run(
        'insert ignore into waybill_cursors (reader, topic, queue, pos, start_pos, epoch) values (?, ?, ?, ?, ?, ?)',
        ...name,
        start,
        start,
        epoch,
      )
      await connection.run(
        'insert ignore into waybill_leases (reader, topic, queue) values (?, ?, ?)',
        ...name,
      )
    }
  }
}

export async function countOlder(
  connection: MyConnection,
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
export async function orderOf(connection: MyConnection, group: string): Promise<GroupOrder | undefined> {
  const [row] = await connection.all('select ordered, on_failure from waybill_groups where name = ?', group)
  return row && { ordered: row['ordered'] === 1, onFailure: row['on_failure'] === 'skip' ? 'skip' : 'hold' }
}

/** Whoever may have dispositions: groups, relay and landing, and groups that were removed. */
export async function readersIn(connection: MyConnection): Promise<readonly string[]> {
  // A walk over the first column of the key: a plain `distinct` would read every receipt.
  const rows = await connection.all(
    `with recursive walk as (
       select min(grp) as grp from waybill_dispositions
       union all select (select min(grp) from waybill_dispositions where grp > walk.grp) from walk where walk.grp is not null
     ) select grp from walk where grp is not null union select reader from waybill_cursors`,
  )
  return [...new Set([...rows.map((row) => row['grp'] as string), landingGroup])]
}

function checkSubscription(group: GroupDeclaration, stored: MyRow): void {
  const isRegisteredOnly = stored['subscription'] === ''
  const isOtherVersion = stored['version'] !== group.subscriptionVersion
  if (isRegisteredOnly || isOtherVersion || stored['subscription'] === subscriptionOf(group)) return
  throw new WaybillError(
    'group.subscription-differs',
    `consumer group ${group.name} is stored with other topics, tags or order under subscription version ${group.subscriptionVersion}; if the change is meant, raise subscriptionVersion: instances of the older one then stop taking messages`,
    { group: group.name, stored: stored['subscription'], declared: subscriptionOf(group) },
  )
}

async function refuseSilentBacklog(connection: MyConnection, group: GroupDeclaration): Promise<void> {
  const topics = group.topics.map((topic) => topic.name)
  const older = await countOlder(connection, group.name, topics)
  if (older === 0) return
  throw new WaybillError(
    'group.start-position-needed',
    `consumer group ${group.name} is new and ${older} older messages are there; say where it starts: from: 'oldest' (handle them), 'now' (skip them) or a Date`,
    { group: group.name, older },
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

async function startOf(
  connection: MyConnection,
  topic: string,
  queue: number,
  from: StartPosition,
): Promise<number> {
  if (from === 'oldest') return 0
  // Before the first that is eligible since then: publishers' clocks differ, so older ones may come after it.
  const since = from === 'now' ? undefined : await firstSince(connection, topic, queue, from)
  if (since !== undefined) return since - 1
  const [row] = await connection.all(
    'select seq from waybill_ends where topic = ? and queue = ?',
    topic,
    queue,
  )
  return (row?.['seq'] as number | undefined) ?? 0
}

async function firstSince(
  connection: MyConnection,
  topic: string,
  queue: number,
  date: Date,
): Promise<number | undefined> {
  const [row] = await connection.all(
    'select min(seq) as seq from waybill_messages where topic = ? and queue = ? and seq > 0 and eligible_at >= ?',
    topic,
    queue,
    date.getTime(),
  )
  return (row?.['seq'] as number | null) ?? undefined
}
