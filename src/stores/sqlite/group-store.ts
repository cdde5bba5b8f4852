import type { GroupStore, StoredGroup, StoredSubscription } from '../../core/groups.ts'
import type { AuditNote } from '../../core/store.ts'
import {
  checkConsumesHere,
  checkEmpty,
  checkKnown,
  checkUnused,
  open,
  placesOfGroup,
  toGroup,
  toSubscription,
} from '../sql/group-rules.ts'
import type { SqliteAccess } from './access.ts'
import { audit } from './audit.ts'
import type { Row, SqliteConnection } from './driver.ts'

export function groupStore({ read, write, now }: SqliteAccess): GroupStore {
  return {
    list: async () => read((connection) => listGroups(connection, now())),
    subscriptions: async () => read(listSubscriptions),
    pause: (group, note) => write((connection) => pauseGroup(connection, group, note, now())),
    resume: (group, note) => write((connection) => resumeGroup(connection, group, note, now())),
    remove: (group, note, { abandon }) =>
      write((connection) => removeGroup(connection, group, note, abandon, now())),
  }
}

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
      const counted = {
        instances: liveInstances(connection, name, now),
        waiting: count(connection, `select count(*) from ${messagesAfter}`, name),
      }
      return toGroup(row, counted, openStates(connection, name))
    })
}

function listSubscriptions(connection: SqliteConnection): readonly StoredSubscription[] {
  return connection
    .all('select name, subscription from waybill_groups order by name')
    .map((row) => toSubscription(row))
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
  checkConsumesHere(group, subscriptionIn(connection, group))
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
  checkConsumesHere(group, subscriptionIn(connection, group))
  const changed = connection.run('delete from waybill_pauses where grp = ?', group)
  if (changed > 0) audit(connection, 'resume-group', { group }, note, now)
  return changed > 0
}

function subscriptionIn(connection: SqliteConnection, group: string): Row | undefined {
  return connection.all('select subscription from waybill_groups where name = ?', group)[0]
}

function removeGroup(
  connection: SqliteConnection,
  group: string,
  note: AuditNote,
  abandon: boolean,
  now: number,
): void {
  checkKnown(group, subscriptionIn(connection, group))
  checkUnused(group, liveInstances(connection, group, now))
  if (!abandon) checkEmpty(group, waitingIn(connection, group), openStates(connection, group))
  discardOpen(connection, group, note, now)
  for (const [table, column] of placesOfGroup)
    connection.run(`delete from waybill_${table} where ${column} = ?`, group)
  // The leases stay, free: fences would begin anew with a group of the same name, and an instance that was taken for dead and wakes up
  // could find its own valid again (P16).
  connection.run('update waybill_leases set owner = null, expires_at = 0 where reader = ?', group)
  audit(connection, 'remove-group', { group }, note, now)
}

/** After a crash a message may be handled already though the cursor has not passed it. */
function waitingIn(connection: SqliteConnection, group: string): number {
  return count(
    connection,
    `select count(*) from ${messagesAfter} and not exists (select 1 from waybill_dispositions d where d.grp = c.reader and d.message_id = m.id)`,
    group,
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
