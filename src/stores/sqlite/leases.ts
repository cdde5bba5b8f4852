import { WaybillError } from '../../core/errors.ts'
import type { OwnerId } from '../../core/ids.ts'
import type { Lease, QueueName, ReaderMembership, Share } from '../../core/store.ts'
import type { Row, SqliteConnection } from './driver.ts'

/** True while the lease's fence is the current one. Bind with `fenceParams`. */
export const fenceHolds =
  'exists (select 1 from waybill_leases where reader = ? and topic = ? and queue = ? and owner = ? and fence = ?)'

export function fenceParams(lease: Lease): readonly [string, string, number, string, number] {
  return [lease.reader, lease.topic, lease.queue, lease.owner, lease.fence]
}

/** @throws WaybillError `store.lease-lost` */
export function assertFence(connection: SqliteConnection, lease: Lease): void {
  if (connection.all(`select ${fenceHolds} as holds`, ...fenceParams(lease))[0]!['holds'] !== 1)
    throw leaseLost(lease)
}

export function leaseLost(lease: Lease): WaybillError {
  return new WaybillError(
    'store.lease-lost',
    `the lease of ${lease.reader} on ${lease.topic}/${lease.queue} was taken over; nothing was written`,
    { reader: lease.reader, topic: lease.topic, queue: lease.queue, fence: lease.fence },
  )
}

export function share(
  connection: SqliteConnection,
  owner: OwnerId,
  readers: readonly ReaderMembership[],
  leaseMs: number,
  now: number,
): readonly Share[] {
  const expiresAt = now + leaseMs
  return readers.map((reader) => {
    connection.run('delete from waybill_members where reader = ? and expires_at <= ?', reader.reader, now)
    connection.run(
      'insert into waybill_members (reader, owner, version, expires_at) values (?, ?, ?, ?) on conflict do update set expires_at = excluded.expires_at, version = excluded.version',
      reader.reader,
      owner,
      reader.version,
      expiresAt,
    )
    const wanted = fairShare(connection, owner, reader, now)
    connection.run(
      'update waybill_leases set expires_at = ? where reader = ? and owner = ?',
      expiresAt,
      reader.reader,
      owner,
    )
    const held = heldCount(connection, owner, reader.reader)
    if (held < wanted) takeOver(connection, owner, reader, wanted - held, expiresAt, now)
    return {
      reader: reader.reader,
      leases: leasesOf(connection, owner, reader.reader),
      surplus: Math.max(0, held - wanted),
    }
  })
}

export function hasOpening(
  connection: SqliteConnection,
  owner: OwnerId,
  readers: readonly ReaderMembership[],
  now: number,
): boolean {
  return readers.some((reader) => {
    const held = heldCount(connection, owner, reader.reader)
    const wanted = fairShare(connection, owner, reader, now)
    return held > wanted || (held < wanted && takeable(connection, reader, now, 1).length > 0)
  })
}

export function release(connection: SqliteConnection, leases: readonly Lease[]): void {
  for (const lease of leases) {
    connection.run(
      'update waybill_leases set owner = null, expires_at = 0 where reader = ? and topic = ? and queue = ? and owner = ? and fence = ?',
      ...fenceParams(lease),
    )
  }
}

/**
 * Queues ÷ live owners of the newest version, the remainder to the first of them by id; none for an older version (P26).
 * This owner counts also before its first heartbeat, which would announce it.
 */
function fairShare(
  connection: SqliteConnection,
  owner: OwnerId,
  reader: ReaderMembership,
  now: number,
): number {
  const stored = Number(
    connection.all(
      'select coalesce(max(version), 0) as v from waybill_groups where name = ?',
      reader.reader,
    )[0]!['v'],
  )
  const others = connection
    .all(
      'select owner, version from waybill_members where reader = ? and expires_at > ? and owner <> ?',
      reader.reader,
      now,
      owner,
    )
    .map((row) => ({ owner: row['owner'] as string, version: row['version'] as number }))
  const members = [...others, { owner: owner as string, version: reader.version }]
  const newest = Math.max(stored, ...members.map(({ version }) => version))
  if (reader.version < newest) return 0
  const current = members.filter(({ version }) => version === newest).map((member) => member.owner)
  const place = current.sort().indexOf(owner)
  const { length } = reader.queues
  return Math.floor(length / current.length) + (place < length % current.length ? 1 : 0)
}

function takeOver(
  connection: SqliteConnection,
  owner: OwnerId,
  reader: ReaderMembership,
  count: number,
  expiresAt: number,
  now: number,
): void {
  for (const row of takeable(connection, reader, now, count)) {
    const name = [reader.reader, row['topic'] as string, row['queue'] as number] as const
    if (row['owner'] !== null) suspectRunning(connection, name, row['running_max'] as number, now)
    connection.run(
      'update waybill_leases set owner = ?, fence = fence + 1, expires_at = ?, running_max = ? where reader = ? and topic = ? and queue = ?',
      owner,
      expiresAt,
      reader.runningMax,
      ...name,
    )
  }
}

/**
 * The lapsed owner may have died of any message that it was running: of those without a disposition the next ones, since handlers
 * begin in order. The next owner runs them alone (P17).
 */
function suspectRunning(
  connection: SqliteConnection,
  name: readonly [string, string, number],
  runningMax: number,
  now: number,
): void {
  const [reader, topic, queue] = name
  const end = connection.all(
    `select max(pos) as pos from (select m.pos from waybill_messages m where m.topic = ? and m.queue = ?
       and m.pos > (select pos from waybill_cursors where reader = ? and topic = ? and queue = ?)
       and not exists (select 1 from waybill_dispositions d where d.grp = ? and d.message_id = m.id and d.state <> 'running')
       order by m.pos limit ?)`,
    topic,
    queue,
    ...name,
    reader,
    runningMax,
  )[0]!['pos']
  connection.run(
    'update waybill_cursors set suspect_through = max(suspect_through, ?), suspect_due_before = ? where reader = ? and topic = ? and queue = ?',
    (end as number | null) ?? 0,
    now,
    ...name,
  )
}

function takeable(
  connection: SqliteConnection,
  reader: ReaderMembership,
  now: number,
  limit: number,
): readonly Row[] {
  const wanted = new Set(reader.queues.map(nameOf))
  return connection
    .all(
      'select topic, queue, owner, running_max from waybill_leases where reader = ? and (owner is null or expires_at <= ?) order by topic, queue',
      reader.reader,
      now,
    )
    .filter((row) => wanted.has(nameOf({ topic: row['topic'] as string, queue: row['queue'] as number })))
    .slice(0, limit)
}

function heldCount(connection: SqliteConnection, owner: OwnerId, reader: string): number {
  return Number(
    connection.all(
      'select count(*) as n from waybill_leases where reader = ? and owner = ?',
      reader,
      owner,
    )[0]!['n'],
  )
}

function leasesOf(connection: SqliteConnection, owner: OwnerId, reader: string): readonly Lease[] {
  return connection
    .all(
      `select l.topic, l.queue, l.fence, c.pos, c.start_pos, c.suspect_through, c.suspect_due_before from waybill_leases l
       join waybill_cursors c on c.reader = l.reader and c.topic = l.topic and c.queue = l.queue
       where l.reader = ? and l.owner = ? order by l.topic, l.queue`,
      reader,
      owner,
    )
    .map((row) => ({
      reader,
      owner,
      topic: row['topic'] as string,
      queue: row['queue'] as number,
      fence: row['fence'] as number,
      position: row['pos'] as number,
      start: row['start_pos'] as number,
      suspectThrough: row['suspect_through'] as number,
      suspectDueBefore: row['suspect_due_before'] as number,
    }))
}

function nameOf(queue: QueueName): string {
  return `${queue.topic}/${queue.queue}`
}
