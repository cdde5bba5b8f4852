import { WaybillError, isWaybillError } from '../../core/errors.ts'
import type { OwnerId } from '../../core/ids.ts'
import type { Lease, QueueName, ReaderMembership, Share } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { inLane, stateInLane } from './taken.ts'
import { lockOf, takeLock } from './locks.ts'
import { endingZombies, moments } from './zombies.ts'

/** True while the lease's fence is the current one. Bind with `fenceParams`. */
export const fenceHolds =
  'exists (select 1 from waybill_leases where reader = ? and topic = ? and queue = ? and owner = ? and fence = ?)'

export function fenceParams(lease: Lease): readonly [string, string, number, string, number] {
  return [lease.reader, lease.topic, lease.queue, lease.owner, lease.fence]
}

/** @throws WaybillError `store.lease-lost` */
export async function assertFence(connection: MyConnection, lease: Lease): Promise<void> {
  const [row] = await connection.all(`select ${fenceHolds} as holds`, ...fenceParams(lease))
  if (!row!['holds']) throw leaseLost(lease)
}

export function leaseLost(lease: Lease): WaybillError {
  return new WaybillError(
    'store.lease-lost',
    `the lease of ${lease.reader} on ${lease.topic}/${lease.queue} was taken over; nothing was written`,
    { reader: lease.reader, topic: lease.topic, queue: lease.queue, fence: lease.fence },
  )
}

export async function share(
  connection: MyConnection,
  owner: OwnerId,
  readers: readonly ReaderMembership[],
  leaseMs: number,
): Promise<readonly Share[]> {
  const shares: Share[] = []
  // All at once and in one order, or two heartbeats that serve the same readers dead-lock.
  await lockMembers(connection, ...readers.map(({ reader }) => reader))
  for (const reader of readers.toSorted((a, b) => (a.reader < b.reader ? -1 : 1)))
    shares.push(await shareOne(connection, owner, reader, leaseMs))
  return readers.map(({ reader }) => shares.find((one) => one.reader === reader)!)
}

async function shareOne(
  connection: MyConnection,
  owner: OwnerId,
  reader: ReaderMembership,
  leaseMs: number,
): Promise<Share> {
  await connection.run(
    'delete from waybill_members where reader = ? and expires_at <= waybill_now()',
    reader.reader,
  )
  await connection.run(
    `insert into waybill_members (reader, owner, version, expires_at) values (?, ?, ?, waybill_now() + ?)
     on duplicate key update expires_at = values(expires_at), version = values(version)`,
    reader.reader,
    owner,
    reader.version,
    leaseMs,
  )
  const wanted = await fairShare(connection, owner, reader)
  await connection.run(
    'update waybill_leases set expires_at = waybill_now() + ? where reader = ? and owner = ?',
    leaseMs,
    reader.reader,
    owner,
  )
  const held = await heldCount(connection, owner, reader.reader)
  if (held < wanted) await takeOver(connection, owner, reader, wanted - held, leaseMs)
  return {
    reader: reader.reader,
    leases: await leasesOf(connection, owner, reader.reader),
    surplus: Math.max(0, held - wanted),
  }
}

/** Heartbeats of one reader take turns: each sees who the others are and what they hold. */
export async function lockMembers(connection: MyConnection, ...readers: readonly string[]): Promise<void> {
  // In one order for all, or two that take several dead-lock.
  for (const lock of [...new Set(readers.map((reader) => lockOf('members', reader)))].sort((a, b) => a - b)) {
    const { text, params } = takeLock(lock)
    const taken = await connection.all(`${text} skip locked`, ...params)
    if (taken.length === 0) await endingZombies(connection, moments, () => connection.all(text, ...params))
  }
}

export async function hasOpening(
  connection: MyConnection,
  owner: OwnerId,
  readers: readonly ReaderMembership[],
): Promise<boolean> {
  for (const reader of readers) {
    const held = await heldCount(connection, owner, reader.reader)
    const wanted = await fairShare(connection, owner, reader)
    if (held > wanted) return true
    if (held < wanted && (await takeable(connection, reader, 1)).length > 0) return true
  }
  return false
}

export async function release(connection: MyConnection, leases: readonly Lease[]): Promise<void> {
  for (const lease of leases) {
    await connection.run(
      'update waybill_leases set owner = null, expires_at = 0 where reader = ? and topic = ? and queue = ? and owner = ? and fence = ?',
      ...fenceParams(lease),
    )
  }
}

/**
 * Queues ÷ live owners of the newest version, the remainder to the first of them by id; none for an older version (P26).
 * This owner counts also before its first heartbeat, which would announce it.
 */
async function fairShare(
  connection: MyConnection,
  owner: OwnerId,
  reader: ReaderMembership,
): Promise<number> {
  const rows = await connection.all(
    `select owner, version from waybill_members where reader = ? and expires_at > waybill_now() and owner <> ?
     union all select null, version from waybill_groups where name = ?`,
    reader.reader,
    owner,
    reader.reader,
  )
  const others = rows.filter((row) => row['owner'] !== null)
  const members = [...others, { owner, version: reader.version }] as { owner: string; version: number }[]
  const newest = Math.max(reader.version, ...rows.map((row) => row['version'] as number))
  if (reader.version < newest) return 0
  const current = members.filter(({ version }) => version === newest).map((member) => member.owner)
  const place = current.sort().indexOf(owner)
  const { length } = reader.queues
  return Math.floor(length / current.length) + (place < length % current.length ? 1 : 0)
}

async function takeOver(
  connection: MyConnection,
  owner: OwnerId,
  reader: ReaderMembership,
  count: number,
  leaseMs: number,
): Promise<void> {
  for (const row of await takeable(connection, reader, count)) {
    const name = [reader.reader, row['topic'] as string, row['queue'] as number] as const
    if (row['owner'] !== null) {
      if (!(await freesCursor(connection, name))) continue
      await suspectRunning(connection, name, row['running_max'])
    }
    await connection.run(
      'update waybill_leases set owner = ?, fence = fence + 1, expires_at = waybill_now() + ?, running_max = ? where reader = ? and topic = ? and queue = ?',
      owner,
      leaseMs,
      reader.runningMax,
      ...name,
    )
  }
}

/**
 * The lapsed owner's last effect may have moved the cursor and still be open, in a process that stands still. Answers false if it
 * cannot be ended: the queue is left alone for now, and the heartbeat goes on to the others.
 */
async function freesCursor(
  connection: MyConnection,
  name: readonly [string, string, number],
): Promise<boolean> {
  const lock = 'select 1 from waybill_cursors where reader = ? and topic = ? and queue = ? for update'
  if ((await connection.all(`${lock} skip locked`, ...name)).length > 0) return true
  try {
    await endingZombies(connection, { waitMs: 0 }, () => connection.all(lock, ...name))
    return true
  } catch (error) {
    // Of a wait in vain the server undoes the statement alone.
    if (!isWaybillError(error, 'store.busy')) throw error
    return false
  }
}

/** How far beyond its cursor a dead owner's running messages are looked for. */
const lookedThroughMax = 10_000

/**
 * The lapsed owner may have died of any message that it was running: of those without a disposition the next ones, since handlers
 * begin in order. The next owner runs them alone (P17).
 */
async function suspectRunning(
  connection: MyConnection,
  name: readonly [string, string, number],
  runningMax: number,
): Promise<void> {
  const [cursor] = await connection.all(
    'select pos from waybill_cursors where reader = ? and topic = ? and queue = ?',
    ...name,
  )
  const after = cursor!['pos'] as number
  const [row] = await connection.all(
    `select max(seq) as pos from (select m.seq from ${inLane} and m.seq > ? and m.seq <= ?
       and coalesce(${stateInLane}, 'running') = 'running' order by m.seq limit ?) running`,
    ...name,
    after,
    after + lookedThroughMax,
    runningMax,
  )
  await connection.run(
    'update waybill_cursors set suspect_through = greatest(suspect_through, ?), suspect_due_before = waybill_now() where reader = ? and topic = ? and queue = ?',
    (row!['pos'] as number | null) ?? 0,
    ...name,
  )
}

async function takeable(
  connection: MyConnection,
  reader: ReaderMembership,
  limit: number,
): Promise<readonly MyRow[]> {
  const wanted = new Set(reader.queues.map(nameOf))
  const rows = await connection.all(
    'select topic, queue, owner, running_max from waybill_leases where reader = ? and (owner is null or expires_at <= waybill_now()) order by topic, queue',
    reader.reader,
  )
  return rows
    .filter((row) => wanted.has(nameOf({ topic: row['topic'], queue: row['queue'] })))
    .slice(0, limit)
}

async function heldCount(connection: MyConnection, owner: OwnerId, reader: string): Promise<number> {
  const [row] = await connection.all(
    'select count(*) as n from waybill_leases where reader = ? and owner = ?',
    reader,
    owner,
  )
  return row!['n'] as number
}

async function leasesOf(connection: MyConnection, owner: OwnerId, reader: string): Promise<readonly Lease[]> {
  const rows = await connection.all(
    `select l.topic, l.queue, l.fence, c.pos, c.start_pos, c.suspect_through, c.suspect_due_before from waybill_leases l
     join waybill_cursors c on c.reader = l.reader and c.topic = l.topic and c.queue = l.queue
     where l.reader = ? and l.owner = ? order by l.topic, l.queue`,
    reader,
    owner,
  )
  return rows.map((row) => ({
    reader,
    owner,
    topic: row['topic'],
    queue: row['queue'],
    fence: row['fence'],
    position: row['pos'],
    start: row['start_pos'],
    suspectThrough: row['suspect_through'],
    suspectDueBefore: row['suspect_due_before'],
  }))
}

function nameOf(queue: QueueName): string {
  return `${queue.topic}/${queue.queue}`
}
