import { type CursorEpoch, type EpochStore, type RecordedPosition, landingGap } from '../../core/epochs.ts'
import type { SettledPosition } from '../../core/message.ts'
import type { Lease } from '../../core/store.ts'
import { audit } from './audit.ts'
import type { SqlAccess, SqlConnection } from './connection.ts'
import type { SqlRow, SqlValue } from './sql.ts'

const ofCursor = 'reader = ? and topic = ? and queue = ?'
const ofQueue = 'source = ? and topic = ? and queue = ?'
/** Below every position. */
const nothing = -1

/** For the log, when a database begins new epochs by itself. */
export const movedWarning =
  'this database is on another server or in another history than before: it was restored or promoted, and what was committed last may be lost; what others have read of it is compared with what it has'

/** Puts cursors into another epoch; up to where they are now they had the same in the one before. Bind the epoch. */
export const beginEpoch = 'update waybill_cursors set previous_epoch = epoch, epoch_began = pos, epoch = ?'

export function epochStore<C extends SqlConnection>(
  access: SqlAccess<C>,
  newEpoch: () => string,
  assertFence: (connection: C, lease: Lease) => Promise<void>,
): EpochStore {
  return {
    of: (lease) => epochOf(access.read, lease),
    begin: (lease, because) =>
      access.write(async (connection) => {
        await assertFence(connection, lease)
        await connection.run(`${beginEpoch} where ${ofCursor}`, newEpoch(), ...nameOf(lease))
        if (because !== undefined)
          await audit(connection, 'epoch', { group: lease.reader }, { by: 'waybill', because })
        return epochOf(connection, lease)
      }),
  }
}

async function epochOf(connection: SqlConnection, lease: Lease): Promise<CursorEpoch> {
  const [row] = await connection.all(
    `select epoch, epoch_began, previous_epoch from waybill_cursors where ${ofCursor}`,
    ...nameOf(lease),
  )
  return toEpoch(row!)
}

function toEpoch(row: SqlRow): CursorEpoch {
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
export async function recordPosition(connection: SqlConnection, at: SettledPosition): Promise<void> {
  const { epoch, position, after } = at
  const queue = [at.source, at.topic, at.queue] as const
  if (epoch !== undefined && after === undefined) return setPosition(connection, queue, position, epoch)
  const grow = `update waybill_landed set pos = greatest(pos, ?) where ${ofQueue} and epoch = ? and pos >= ?`
  const grown = await connection.run(grow, position, ...queue, epoch ?? '', after ?? nothing)
  if (grown > 0) return
  if (epoch === undefined) await setPosition(connection, queue, position, '')
  else throw landingGap(at)
}

async function setPosition(
  connection: SqlConnection,
  queue: readonly SqlValue[],
  position: number,
  epoch: string,
): Promise<void> {
  await connection.run(
    connection.dialect.upsert(
      'waybill_landed (source, topic, queue, pos, epoch) values (?, ?, ?, ?, ?)',
      'source, topic, queue',
      ['pos', 'epoch'],
    ),
    ...queue,
    position,
    epoch,
  )
}

export async function recordedPosition(
  connection: SqlConnection,
  source: string,
  topic: string,
  queue: number,
): Promise<RecordedPosition | undefined> {
  const [row] = await connection.all(
    `select pos, epoch from waybill_landed where ${ofQueue}`,
    source,
    topic,
    queue,
  )
  return row && { position: row['pos'] as number, epoch: (row['epoch'] as string) || null }
}
