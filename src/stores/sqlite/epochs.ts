import { type CursorEpoch, type EpochStore, type RecordedPosition, landingGap } from '../../core/epochs.ts'
import type { SettledPosition } from '../../core/message.ts'
import type { Lease } from '../../core/store.ts'
import type { SqliteAccess } from './access.ts'
import { audit } from './audit.ts'
import type { SqliteConnection } from './driver.ts'
import { assertFence } from './leases.ts'

const ofCursor = 'reader = ? and topic = ? and queue = ?'
const ofQueue = 'source = ? and topic = ? and queue = ?'
/** Below every position. */
const nothing = -1

export function epochStore(access: SqliteAccess, newEpoch: () => string): EpochStore {
  return {
    of: async (lease) => access.read((connection) => epochOf(connection, lease)),
    begin: (lease, because) =>
      access.write((connection) => {
        assertFence(connection, lease)
        connection.run(
          `update waybill_cursors set previous_epoch = epoch, epoch_began = pos, epoch = ? where ${ofCursor}`,
          newEpoch(),
          ...nameOf(lease),
        )
        if (because !== undefined)
          audit(connection, 'epoch', { group: lease.reader }, { by: 'waybill', because }, access.now())
        return epochOf(connection, lease)
      }),
  }
}

function epochOf(connection: SqliteConnection, lease: Lease): CursorEpoch {
  const row = connection.all(
    `select epoch, epoch_began, previous_epoch from waybill_cursors where ${ofCursor}`,
    ...nameOf(lease),
  )[0]!
  return {
    epoch: row['epoch'] as string,
    began: row['epoch_began'] as number,
    previous: row['previous_epoch'] as string | null,
  }
}

function nameOf({ reader, topic, queue }: Lease): readonly [string, string, number] {
  return [reader, topic, queue]
}

/** @throws WaybillError `store.landing-gap` */
export function recordPosition(connection: SqliteConnection, at: SettledPosition): void {
  const { epoch, position, after } = at
  const isSet = epoch !== undefined && after === undefined
  const grow = `update waybill_landed set pos = max(pos, ?) where ${ofQueue} and epoch = ? and pos >= ?`
  const queue = [at.source, at.topic, at.queue] as const
  if (!isSet && connection.run(grow, position, ...queue, epoch ?? '', after ?? nothing) > 0) return
  if (after !== undefined && epoch !== undefined) throw landingGap(at)
  connection.run(
    'insert into waybill_landed (source, topic, queue, pos, epoch) values (?, ?, ?, ?, ?) on conflict do update set pos = excluded.pos, epoch = excluded.epoch',
    ...queue,
    position,
    epoch ?? '',
  )
}

export function recordedPosition(
  connection: SqliteConnection,
  source: string,
  topic: string,
  queue: number,
): RecordedPosition | undefined {
  const row = connection.all(
    `select pos, epoch from waybill_landed where ${ofQueue}`,
    source,
    topic,
    queue,
  )[0]
  return row && { position: row['pos'] as number, epoch: (row['epoch'] as string) || null }
}
