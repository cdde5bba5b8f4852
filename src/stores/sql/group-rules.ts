import { WaybillError } from '../../core/errors.ts'
import type { Pause, StoredGroup, StoredSubscription } from '../../core/groups.ts'
import type { GroupDeclaration, StartPosition } from '../../core/store.ts'
import type { SqlRow } from './sql.ts'

/** How a group deals with the order of its keys; what `read` and `settle` need to know of it. */
export interface GroupOrder {
  readonly ordered: boolean
  readonly onFailure: 'hold' | 'skip'
}

/** The reader under which messages lie that could not even be landed. */
export const landingGroup = '@land'

export const unordered: GroupOrder = { ordered: false, onFailure: 'hold' }

/** The mover of due messages reads no log: it is ahead of every message, and holds up no purge. */
export const beyondTheLog = Number.MAX_SAFE_INTEGER

/** States of a disposition that is not final. */
export const open = "('running', 'retrying', 'held', 'dead')"

/** The row of a group's order. */
export function toOrder(row: SqlRow): GroupOrder {
  return { ordered: Boolean(row['ordered']), onFailure: row['on_failure'] === 'skip' ? 'skip' : 'hold' }
}

/** @throws WaybillError `group.other-database` */
export function checkDatabase(group: string, holder: unknown, databaseId: string): void {
  if (holder === databaseId) return
  throw new WaybillError(
    'group.other-database',
    `consumer group ${group} already consumes on another database; each would run every message's effect once; give this one another name`,
    { group },
  )
}

/** @throws WaybillError `group.subscription-differs` */
export function checkSubscription(group: GroupDeclaration, stored: SqlRow): void {
  const isRegisteredOnly = stored['subscription'] === ''
  const isOtherVersion = Number(stored['version']) !== group.subscriptionVersion
  if (isRegisteredOnly || isOtherVersion || stored['subscription'] === subscriptionOf(group)) return
  throw new WaybillError(
    'group.subscription-differs',
    `consumer group ${group.name} is stored with other topics, tags or order under subscription version ${group.subscriptionVersion}; if the change is meant, raise subscriptionVersion: instances of the older one then stop taking messages`,
    { group: group.name, stored: stored['subscription'], declared: subscriptionOf(group) },
  )
}

export function startPositionNeeded(group: string, older: number): WaybillError {
  return new WaybillError(
    'group.start-position-needed',
    `consumer group ${group} is new and ${older} older messages are there; say where it starts: from: 'oldest' (handle them), 'now' (skip them) or a Date`,
    { group, older },
  )
}

export function subscriptionOf(group: GroupDeclaration): string {
  const topics = group.topics
    .map((topic) => [topic.name, group.tags[topic.name] ?? '*'] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify({ topics, ordered: group.ordered, onFailure: group.onFailure })
}

/** None for a group that is only registered here, because it consumes in another database. */
export function topicsOf(subscription: string): StoredSubscription['topics'] {
  if (subscription === '') return []
  const { topics } = JSON.parse(subscription) as { topics: readonly (readonly [string, string])[] }
  return topics.map(([name, tags]) => ({ name, tags }))
}

export function describeStart(from: StartPosition): string {
  return from instanceof Date ? from.toISOString() : from
}

export function toSubscription(row: SqlRow): StoredSubscription {
  return { name: row['name'], topics: topicsOf(row['subscription']) }
}

/** A row of waybill_groups with its pause as `paused_…`, and with what was counted of it. */
export function toGroup(
  row: SqlRow,
  { instances, waiting }: Pick<StoredGroup, 'instances' | 'waiting'>,
  states: ReadonlyMap<string, number>,
): StoredGroup {
  return {
    ...toSubscription(row),
    ...toOrder(row),
    subscriptionVersion: row['version'],
    start: row['start'],
    createdAt: row['created_at'],
    paused: pauseOf(row),
    instances,
    waiting,
    retrying: states.get('retrying') ?? 0,
    held: states.get('held') ?? 0,
    dead: states.get('dead') ?? 0,
  }
}

function pauseOf(row: SqlRow): Pause | null {
  if (row['paused_at'] === null) return null
  return { at: row['paused_at'], by: row['paused_by'], because: row['paused_because'] }
}

/**
 * The row of a group's subscription, which is empty where the group is only registered.
 * @throws WaybillError `group.unknown`
 */
export function checkConsumesHere(group: string, row: SqlRow | undefined): void {
  checkKnown(group, row)
  if (row!['subscription'] !== '') return
  throw new WaybillError(
    'group.unknown',
    `consumer group ${group} is only registered in this database and consumes in another one; do it there`,
    { group },
  )
}

/** @throws WaybillError `group.unknown` */
export function checkKnown(group: string, row: SqlRow | undefined): void {
  if (row) return
  throw new WaybillError(
    'group.unknown',
    `there is no consumer group ${group} in this database; check its name, and that this is the database that it consumes in`,
    { group },
  )
}

/** @throws WaybillError `group.in-use` */
export function checkUnused(group: string, instances: number): void {
  if (instances === 0) return
  throw new WaybillError(
    'group.in-use',
    `${instances} living instances consume in group ${group}; stop them first, or deploy them without it. One that was killed counts until its lease lapses`,
    { group, instances },
  )
}

/** @throws WaybillError `group.not-empty` */
export function checkEmpty(group: string, waiting: number, states: ReadonlyMap<string, number>): void {
  const facts = { waiting, ...Object.fromEntries(states) }
  const left = Object.entries(facts).filter(([, n]) => n > 0)
  if (left.length === 0) return
  throw new WaybillError(
    'group.not-empty',
    `consumer group ${group} has messages that are not settled (${left.map(([state, n]) => `${state} ${n}`).join(', ')}); let it finish them, or remove it with abandon, which gives them up`,
    { group, ...facts },
  )
}

/** Where a group that is removed stands, by table and column. Its leases stay. */
export const placesOfGroup = [
  ['cursors', 'reader'],
  ['members', 'reader'],
  ['pauses', 'grp'],
  ['groups', 'name'],
] as const
