import type { GroupStore, StoredGroup, StoredSubscription } from '../../core/groups.ts'
import type { AuditNote } from '../../core/store.ts'
import { audit } from './audit.ts'
import type { SqlAccess, SqlConnection, SqlSequencing } from './connection.ts'
import {
  checkConsumesHere,
  checkEmpty,
  checkKnown,
  checkUnused,
  open,
  placesOfGroup,
  toGroup,
  toSubscription,
} from './group-rules.ts'
import { lockGroup } from './groups.ts'
import type { SqlRow } from './sql.ts'

/** `lockMembers`: heartbeats of one reader take turns. */
export function groupStore<C extends SqlConnection>(
  { write, snapshot }: SqlAccess<C>,
  sequencing: SqlSequencing,
  lockMembers: (connection: C, reader: string) => Promise<void>,
): GroupStore {
  return {
    list: async () => {
      await sequencing.all()
      return snapshot(listGroups)
    },
    subscriptions: () => snapshot(listSubscriptions),
    pause: (group, note) => write((connection) => pauseGroup(connection, group, note)),
    resume: (group, note) => write((connection) => resumeGroup(connection, group, note)),
    remove: async (group, note, { abandon }) => {
      await sequencing.all()
      await write((connection) => removeGroup(connection, lockMembers, group, note, abandon))
    },
  }
}

async function listGroups(connection: SqlConnection): Promise<readonly StoredGroup[]> {
  const rows = await connection.all(
    `select g.*, p.at as paused_at, p.actor as paused_by, p.because as paused_because,
       (select count(*) from waybill_members m where m.reader = g.name and m.expires_at > waybill_now()) as instances,
       (select coalesce(sum(greatest(0, e.seq - c.pos)), 0) from waybill_cursors c
          join waybill_ends e on e.topic = c.topic and e.queue = c.queue where c.reader = g.name) as waiting
     from waybill_groups g left join waybill_pauses p on p.grp = g.name order by g.name`,
  )
  const groups: StoredGroup[] = []
  // A sum is wider than a 64-bit integer to some servers, and then crosses the driver as text.
  for (const row of rows)
    groups.push(
      toGroup(
        row,
        { instances: row['instances'], waiting: Number(row['waiting']) },
        await openStates(connection, row['name']),
      ),
    )
  return groups
}

async function listSubscriptions(connection: SqlConnection): Promise<readonly StoredSubscription[]> {
  const rows = await connection.all('select name, subscription from waybill_groups order by name')
  return rows.map(toSubscription)
}

async function openStates(connection: SqlConnection, group: string): Promise<ReadonlyMap<string, number>> {
  const rows = await connection.all(
    `select state, count(*) as n from waybill_dispositions where grp = ? and state in ${open} group by state`,
    group,
  )
  return new Map(rows.map((row) => [row['state'], row['n']]))
}

async function pauseGroup(connection: SqlConnection, group: string, note: AuditNote): Promise<boolean> {
  await lockGroup(connection, group)
  checkConsumesHere(group, await subscriptionIn(connection, group))
  const changed = await connection.run(
    connection.dialect.insertNew('waybill_pauses (grp, at, actor, because) values (?, waybill_now(), ?, ?)'),
    group,
    note.by,
    note.because,
  )
  if (changed > 0) await audit(connection, 'pause-group', { group }, note)
  return changed > 0
}

async function resumeGroup(connection: SqlConnection, group: string, note: AuditNote): Promise<boolean> {
  checkConsumesHere(group, await subscriptionIn(connection, group))
  const changed = await connection.run('delete from waybill_pauses where grp = ?', group)
  if (changed > 0) await audit(connection, 'resume-group', { group }, note)
  return changed > 0
}

async function subscriptionIn(connection: SqlConnection, group: string): Promise<SqlRow | undefined> {
  const [row] = await connection.all('select subscription from waybill_groups where name = ?', group)
  return row
}

async function removeGroup<C extends SqlConnection>(
  connection: C,
  lockMembers: (connection: C, reader: string) => Promise<void>,
  group: string,
  note: AuditNote,
  abandon: boolean,
): Promise<void> {
  // Nobody declares it, or begins to consume in it, between the look and the removal.
  await lockGroup(connection, group)
  await lockMembers(connection, group)
  checkKnown(group, await subscriptionIn(connection, group))
  checkUnused(group, await livingIn(connection, group))
  if (!abandon) checkEmpty(group, await waitingIn(connection, group), await openStates(connection, group))
  await discardOpen(connection, group, note)
  for (const [table, column] of placesOfGroup)
    await connection.run(`delete from waybill_${table} where ${column} = ?`, group)
  // The leases stay, free: fences would begin anew with a group of the same name, and an instance that was taken for dead and wakes up
  // could find its own valid again (P16).
  await connection.run('update waybill_leases set owner = null, expires_at = 0 where reader = ?', group)
  await audit(connection, 'remove-group', { group }, note)
}

async function livingIn(connection: SqlConnection, group: string): Promise<number> {
  const [row] = await connection.all(
    'select count(*) as n from waybill_members where reader = ? and expires_at > waybill_now()',
    group,
  )
  return row!['n']
}

/** How far beyond its cursor a group is taken to have handled messages. */
const aheadMax = 10_000

/** After a crash a message may be handled already though the cursor has not passed it. */
async function waitingIn(connection: SqlConnection, group: string): Promise<number> {
  const queues = await connection.all(
    `select c.topic, c.queue, c.pos, e.seq from waybill_cursors c join waybill_ends e on e.topic = c.topic and e.queue = c.queue
     where c.reader = ? and e.seq > c.pos`,
    group,
  )
  let waiting = 0
  for (const end of queues) {
    const { topic, queue, pos, seq } = end as { topic: string; queue: number; pos: number; seq: number }
    const settled = connection.dialect.settledWithin({ topic, queue }, pos, pos + aheadMax, group)
    const [row] = await connection.all(settled.text, ...settled.params)
    waiting += seq - pos - row!['n']
  }
  return waiting
}

/** Nobody could deliver them any more. Their receipts, and these, tell a later group of the same name what it need not do again. */
async function discardOpen(connection: SqlConnection, group: string, note: AuditNote): Promise<void> {
  await connection.run(
    `update waybill_dispositions set state = 'discarded', due_at = null, because = ?, at = waybill_now() where grp = ? and state in ${open}`,
    note.because,
    group,
  )
  await connection.run('delete from waybill_copies where grp = ?', group)
  await connection.run('delete from waybill_dead_letters where grp = ?', group)
}
