import { WaybillError } from '../../core/errors.ts'
import type { GroupStore, Pause, StoredGroup } from '../../core/groups.ts'
import type { AuditNote } from '../../core/store.ts'
import type { SqliteAccess } from './access.ts'
import { audit } from './audit.ts'
import type { Row, SqliteConnection } from './driver.ts'

export function groupStore({ read, write, now }: SqliteAccess): GroupStore {
  return {
    list: async () => read((connection) => listGroups(connection, now())),
    pause: (group, note) => write((connection) => pauseGroup(connection, group, note, now())),
    resume: (group, note) => write((connection) => resumeGroup(connection, group, note, now())),
    paused: async (group) =>
      read((connection) => {
        const row = connection.lists('select at, actor, because from waybill_pauses where grp = ?', group)[0]
        return row ? { at: row[0] as number, by: row[1] as string, because: row[2] as string } : null
      }),
    remove: (group, note, { abandon }) =>
      write((connection) => removeGroup(connection, group, note, abandon, now())),
  }
}

const open = "('running', 'retrying', 'held', 'dead')"
const messagesAfter = `waybill_cursors c join waybill_messages m on m.topic = c.topic and m.queue = c.queue and m.pos > c.pos
  where c.reader = ?`

function listGroups(connection: SqliteConnection, now: number): readonly StoredGroup[] {
  return connection
    .all(
      `select g.*, p.at as paused_at, p.actor as paused_by, p.because as paused_because
       from waybill_groups g left join waybill_pauses p on p.grp = g.name order by g.name`,
    )
    .map((row) => {
      const name = row['name'] as string
      const states = openStates(connection, name)
      return {
        name,
        topics: topicsOf(row['subscription'] as string),
        ordered: row['ordered'] === 1,
        onFailure: row['on_failure'] === 'skip' ? 'skip' : 'hold',
        subscriptionVersion: row['version'] as number,
        start: row['start'] as string,
        createdAt: row['created_at'] as number,
        paused: pauseOf(row),
        instances: liveInstances(connection, name, now),
        waiting: count(connection, `select count(*) from ${messagesAfter}`, name),
        retrying: states.get('retrying') ?? 0,
        held: states.get('held') ?? 0,
        dead: states.get('dead') ?? 0,
      }
    })
}

/** None for a group that is only registered here, because it consumes in another database. */
function topicsOf(subscription: string): StoredGroup['topics'] {
  if (subscription === '') return []
  const { topics } = JSON.parse(subscription) as { topics: readonly (readonly [string, string])[] }
  return topics.map(([name, tags]) => ({ name, tags }))
}

function pauseOf(row: Row): Pause | null {
  if (row['paused_at'] === null) return null
  return {
    at: row['paused_at'] as number,
    by: row['paused_by'] as string,
    because: row['paused_because'] as string,
  }
}

function openStates(connection: SqliteConnection, group: string): ReadonlyMap<string, number> {
  const rows = connection.lists(
    `select state, count(*) from waybill_dispositions where grp = ? and state in ${open} and state <> 'done' group by state`,
    group,
  )
  return new Map(rows.map(([state, n]) => [state as string, n as number]))
}

function liveInstances(connection: SqliteConnection, group: string, now: number): number {
  return count(
    connection,
    'select count(*) from waybill_members where reader = ? and expires_at > ?',
    group,
    now,
  )
}

function count(connection: SqliteConnection, sql: string, ...params: readonly (string | number)[]): number {
  return connection.lists(sql, ...params)[0]![0] as number
}

function pauseGroup(connection: SqliteConnection, group: string, note: AuditNote, now: number): boolean {
  mustConsumeHere(connection, group)
  const changed = connection.run(
    'insert into waybill_pauses (grp, at, actor, because) values (?, ?, ?, ?) on conflict do nothing',
    group,
    now,
    note.by,
    note.because,
  )
  if (changed > 0) audit(connection, 'pause-group', { group }, note, now)
  return changed > 0
}

function resumeGroup(connection: SqliteConnection, group: string, note: AuditNote, now: number): boolean {
  mustConsumeHere(connection, group)
  const changed = connection.run('delete from waybill_pauses where grp = ?', group)
  if (changed > 0) audit(connection, 'resume-group', { group }, note, now)
  return changed > 0
}

function mustConsumeHere(connection: SqliteConnection, group: string): void {
  if (mustBeKnown(connection, group)['subscription'] !== '') return
  throw new WaybillError(
    'group.unknown',
    `consumer group ${group} is only registered in this database and consumes in another one; do it there`,
    { group },
  )
}

function mustBeKnown(connection: SqliteConnection, group: string): Row {
  const row = connection.all('select subscription from waybill_groups where name = ?', group)[0]
  if (row) return row
  throw new WaybillError(
    'group.unknown',
    `there is no consumer group ${group} in this database; check its name, and that this is the database that it consumes in`,
    { group },
  )
}

function removeGroup(
  connection: SqliteConnection,
  group: string,
  note: AuditNote,
  abandon: boolean,
  now: number,
): void {
  mustBeKnown(connection, group)
  const instances = liveInstances(connection, group, now)
  if (instances > 0) {
    throw new WaybillError(
      'group.in-use',
      `${instances} living instances consume in group ${group}; stop them first, or deploy them without it. One that was killed counts until its lease lapses`,
      { group, instances },
    )
  }
  if (!abandon) mustBeEmpty(connection, group)
  discardOpen(connection, group, note, now)
  for (const [table, column] of [
    ['cursors', 'reader'],
    ['members', 'reader'],
    ['pauses', 'grp'],
    ['groups', 'name'],
  ])
    connection.run(`delete from waybill_${table} where ${column} = ?`, group)
  // The leases stay, free: fences would begin anew with a group of the same name, and an instance that was taken for dead and wakes up
  // could find its own valid again (P16).
  connection.run('update waybill_leases set owner = null, expires_at = 0 where reader = ?', group)
  audit(connection, 'remove-group', { group }, note, now)
}

function mustBeEmpty(connection: SqliteConnection, group: string): void {
  const states = openStates(connection, group)
  // After a crash a message may be handled already though the cursor has not passed it.
  const waiting = count(
    connection,
    `select count(*) from ${messagesAfter} and not exists (select 1 from waybill_dispositions d where d.grp = c.reader and d.message_id = m.id)`,
    group,
  )
  const facts = { waiting, ...Object.fromEntries(states) }
  const left = Object.entries(facts).filter(([, n]) => n > 0)
  if (left.length === 0) return
  throw new WaybillError(
    'group.not-empty',
    `consumer group ${group} has messages that are not settled (${left.map(([state, n]) => `${state} ${n}`).join(', ')}); let it finish them, or remove it with abandon, which gives them up`,
    { group, ...facts },
  )
}

/** Nobody could deliver them any more. Their receipts, and these, tell a later group of the same name what it need not do again. */
function discardOpen(connection: SqliteConnection, group: string, note: AuditNote, now: number): void {
  connection.run(
    `update waybill_dispositions set state = 'discarded', due_at = null, because = ?, at = ? where grp = ? and state in ${open} and state <> 'done'`,
    note.because,
    now,
    group,
  )
  connection.run('delete from waybill_copies where grp = ?', group)
  connection.run('delete from waybill_dead_letters where grp = ?', group)
}
