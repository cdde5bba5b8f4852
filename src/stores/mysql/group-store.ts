import { WaybillError } from '../../core/errors.ts'
import type { GroupStore, Pause, StoredGroup } from '../../core/groups.ts'
import type { AuditNote } from '../../core/store.ts'
import type { MyAccess } from './access.ts'
import { audit } from './audit.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { lockGroup } from './groups.ts'
import { lockMembers } from './leases.ts'
import type { Sequencing } from './sequencing.ts'

export function groupStore({ read, write, snapshot }: MyAccess, sequencing: Sequencing): GroupStore {
  return {
    list: async () => {
      await sequencing.all()
      return snapshot(listGroups)
    },
    pause: (group, note) => write((connection) => pauseGroup(connection, group, note)),
    resume: (group, note) => write((connection) => resumeGroup(connection, group, note)),
    paused: async (group) => {
      const [row] = await read.all('select at, actor, because from waybill_pauses where grp = ?', group)
      return row ? { at: row['at'], by: row['actor'], because: row['because'] } : null
    },
    remove: async (group, note, { abandon }) => {
      await sequencing.all()
      await write((connection) => removeGroup(connection, group, note, abandon))
    },
  }
}

const open = "('running', 'retrying', 'held', 'dead')"

async function listGroups(connection: MyConnection): Promise<readonly StoredGroup[]> {
  const rows = await connection.all(
    `select g.*, p.at as paused_at, p.actor as paused_by, p.because as paused_because,
       (select count(*) from waybill_members m where m.reader = g.name and m.expires_at > waybill_now()) as instances,
       (select coalesce(sum(greatest(0, e.seq - c.pos)), 0) from waybill_cursors c
          join waybill_ends e on e.topic = c.topic and e.queue = c.queue where c.reader = g.name) as waiting
     from waybill_groups g left join waybill_pauses p on p.grp = g.name order by g.name`,
  )
  const groups: StoredGroup[] = []
  for (const row of rows) groups.push(toGroup(row, await openStates(connection, row['name'])))
  return groups
}

function toGroup(row: MyRow, states: ReadonlyMap<string, number>): StoredGroup {
  return {
    name: row['name'],
    topics: topicsOf(row['subscription']),
    ordered: row['ordered'] === 1,
    onFailure: row['on_failure'] === 'skip' ? 'skip' : 'hold',
    subscriptionVersion: row['version'],
    start: row['start'],
    createdAt: row['created_at'],
    paused: pauseOf(row),
    instances: row['instances'],
    waiting: row['waiting'],
    retrying: states.get('retrying') ?? 0,
    held: states.get('held') ?? 0,
    dead: states.get('dead') ?? 0,
  }
}

/** None for a group that is only registered here, because it consumes in another database. */
function topicsOf(subscription: string): StoredGroup['topics'] {
  if (subscription === '') return []
  const { topics } = JSON.parse(subscription) as { topics: readonly (readonly [string, string])[] }
  return topics.map(([name, tags]) => ({ name, tags }))
}

function pauseOf(row: MyRow): Pause | null {
  if (row['paused_at'] === null) return null
  return { at: row['paused_at'], by: row['paused_by'], because: row['paused_because'] }
}

async function openStates(connection: MyConnection, group: string): Promise<ReadonlyMap<string, number>> {
  const rows = await connection.all(
    `select state, count(*) as n from waybill_dispositions where grp = ? and state in ${open} group by state`,
    group,
  )
  return new Map(rows.map((row) => [row['state'], row['n']]))
}

async function pauseGroup(connection: MyConnection, group: string, note: AuditNote): Promise<boolean> {
  await lockGroup(connection, group)
  await mustConsumeHere(connection, group)
  const changed = await connection.run(
    'insert ignore into waybill_pauses (grp, at, actor, because) values (?, waybill_now(), ?, ?)',
    group,
    note.by,
    note.because,
  )
  if (changed > 0) await audit(connection, 'pause-group', { group }, note)
  return changed > 0
}

async function resumeGroup(connection: MyConnection, group: string, note: AuditNote): Promise<boolean> {
  await mustConsumeHere(connection, group)
  const changed = await connection.run('delete from waybill_pauses where grp = ?', group)
  if (changed > 0) await audit(connection, 'resume-group', { group }, note)
  return changed > 0
}

async function mustConsumeHere(connection: MyConnection, group: string): Promise<void> {
  if ((await mustBeKnown(connection, group))['subscription'] !== '') return
  throw new WaybillError(
    'group.unknown',
    `consumer group ${group} is only registered in this database and consumes in another one; do it there`,
    { group },
  )
}

async function mustBeKnown(connection: MyConnection, group: string): Promise<MyRow> {
  const [row] = await connection.all('select subscription from waybill_groups where name = ?', group)
  if (row) return row
  throw new WaybillError(
    'group.unknown',
    `there is no consumer group ${group} in this database; check its name, and that this is the database that it consumes in`,
    { group },
  )
}

async function removeGroup(
  connection: MyConnection,
  group: string,
  note: AuditNote,
  abandon: boolean,
): Promise<void> {
  // Nobody declares it, or begins to consume in it, between the look and the removal.
  await lockGroup(connection, group)
  await lockMembers(connection, group)
  await mustBeKnown(connection, group)
  await mustBeUnused(connection, group)
  if (!abandon) await mustBeEmpty(connection, group)
  await discardOpen(connection, group, note)
  for (const [table, column] of [
    ['cursors', 'reader'],
    ['members', 'reader'],
    ['pauses', 'grp'],
    ['groups', 'name'],
  ])
    await connection.run(`delete from waybill_${table} where ${column} = ?`, group)
  // The leases stay, free: fences would begin anew with a group of the same name, and an instance that was taken for dead and wakes up
  // could find its own valid again (P16).
  await connection.run('update waybill_leases set owner = null, expires_at = 0 where reader = ?', group)
  await audit(connection, 'remove-group', { group }, note)
}

async function mustBeUnused(connection: MyConnection, group: string): Promise<void> {
  const [row] = await connection.all(
    'select count(*) as n from waybill_members where reader = ? and expires_at > waybill_now()',
    group,
  )
  const instances = row!['n'] as number
  if (instances === 0) return
  throw new WaybillError(
    'group.in-use',
    `${instances} living instances consume in group ${group}; stop them first, or deploy them without it. One that was killed counts until its lease lapses`,
    { group, instances },
  )
}

async function mustBeEmpty(connection: MyConnection, group: string): Promise<void> {
  const facts = {
    waiting: await waitingIn(connection, group),
    ...Object.fromEntries(await openStates(connection, group)),
  }
  const left = Object.entries(facts).filter(([, n]) => n > 0)
  if (left.length === 0) return
  throw new WaybillError(
    'group.not-empty',
    `consumer group ${group} has messages that are not settled (${left.map(([state, n]) => `${state} ${n}`).join(', ')}); let it finish them, or remove it with abandon, which gives them up`,
    { group, ...facts },
  )
}

/** How far beyond its cursor a group is taken to have handled messages. */
const aheadMax = 10_000

/** After a crash a message may be handled already though the cursor has not passed it. */
async function waitingIn(connection: MyConnection, group: string): Promise<number> {
  const queues = await connection.all(
    `select c.topic, c.queue, c.pos, e.seq from waybill_cursors c join waybill_ends e on e.topic = c.topic and e.queue = c.queue
     where c.reader = ? and e.seq > c.pos`,
    group,
  )
  let waiting = 0
  for (const row of queues) {
    const { topic, queue, pos, seq } = row as { topic: string; queue: number; pos: number; seq: number }
    const [settled] = await connection.all(
      `select count(*) as n from waybill_messages m where m.topic = ? and m.queue = ? and m.seq > ? and m.seq <= ?
         and (select d.state from waybill_dispositions d where d.grp = ? and d.message_id = m.id) is not null`,
      topic,
      queue,
      pos,
      pos + aheadMax,
      group,
    )
    waiting += seq - pos - settled!['n']
  }
  return waiting
}

/** Nobody could deliver them any more. Their receipts, and these, tell a later group of the same name what it need not do again. */
async function discardOpen(connection: MyConnection, group: string, note: AuditNote): Promise<void> {
  await connection.run(
    `update waybill_dispositions set state = 'discarded', due_at = null, because = ?, at = waybill_now() where grp = ? and state in ${open}`,
    note.because,
    group,
  )
  await connection.run('delete from waybill_copies where grp = ?', group)
  await connection.run('delete from waybill_dead_letters where grp = ?', group)
}
