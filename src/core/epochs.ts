import { WaybillError } from './errors.ts'
import type { Lease } from './lease.ts'
import type { SettledPosition } from './message.ts'

/**
 * Which history a position belongs to (P12). A database that is put back to an older state gives positions out again, to other
 * messages; what others recorded of them must not be taken for the same. So each cursor has an epoch, and whoever records a position
 * of a log elsewhere records the epoch of the cursor that it was read by.
 */
export interface CursorEpoch {
  readonly epoch: string
  /** The cursor when this epoch began: up to here the epoch before had the same messages at the same positions. */
  readonly began: number
  /** Null in the first epoch. */
  readonly previous: string | null
}

/** Up to where a queue of another log has got here, and in which epoch of its cursor; null where the source has no epochs. */
export interface RecordedPosition {
  readonly position: number
  readonly epoch: string | null
}

/** A part of the store's contract. */
export interface EpochStore {
  /** The epoch of the lease's cursor. */
  of(lease: Lease): Promise<CursorEpoch>
  /**
   * Begins another epoch of the lease's cursor, because its log was, or may have been, put back. The reason goes to the audit where
   * there is one. Throws `store.lease-lost`.
   */
  begin(lease: Lease, because?: string): Promise<CursorEpoch>
}

/**
 * Where a reader goes on whose position is recorded in two databases: from the older (P13). A position of the epoch before counts
 * up to where that ended; one of a still older epoch, or none, counts for nothing: everything again, and the ids tell what is known.
 */
export function resumeAt(
  cursor: { readonly position: number; readonly start: number } & CursorEpoch,
  recorded: RecordedPosition | undefined,
): number {
  if (recorded?.epoch === cursor.epoch) return Math.min(cursor.position, recorded.position)
  if (recorded && recorded.epoch === cursor.previous)
    return Math.min(cursor.position, cursor.began, recorded.position)
  return Math.min(cursor.position, cursor.start)
}

export function landingGap({ source, topic, queue, after }: SettledPosition): WaybillError {
  return new WaybillError(
    'store.landing-gap',
    `what ${source} had in ${topic}/${queue} up to position ${after} has not landed here, or not any more: a database was put back to an older state; it is read again from where both agree`,
    { source, topic, queue, after },
  )
}
