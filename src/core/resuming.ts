import { type RecordedPosition, resumeAt } from './epochs.ts'
import type { Lease } from './lease.ts'
import type { Store } from './store.ts'

/** The other record of a reader's position: in the database that what it reads goes to. That is the one that counts (P13). */
export interface FarPosition {
  recorded(): Promise<RecordedPosition | undefined>
  /** Sets it, whatever was recorded. */
  record(position: number, epoch: string): Promise<void>
}

/** Where a reader goes on, in the epoch that its positions are recorded in from here. */
export interface Resumed {
  readonly position: number
  readonly epoch: string
  /** Whether the other side has recorded it. */
  readonly isRecorded: boolean
}

/**
 * Brings the two records of a reader's position together: the older counts, and what lies between is read again (P12, P13). Where the
 * other side is ahead of the log's own cursor, the log was put back to an older state, or whoever read it died between the two: from
 * here its positions are of another epoch, so that nothing recorded before is taken for what gets those positions next.
 *
 * @param position where this reader believes to be
 */
export async function resume(
  store: Pick<Store<never>, 'epochs' | 'peek'>,
  lease: Lease,
  position: number,
  far: FarPosition,
  putBack: (because: string) => void,
): Promise<Resumed> {
  const cursor = await store.epochs.of(lease)
  const recorded = await far.recorded()
  const at = resumeAt({ ...cursor, position, start: lease.start }, recorded)
  if (!recorded) return { position: at, epoch: cursor.epoch, isRecorded: false }
  let { epoch } = cursor
  if (recorded.epoch === epoch && recorded.position > position) {
    // Beyond the log's end there is nothing at all: what was there is lost from it.
    const isLost = (await store.peek(lease, recorded.position - 1)) === undefined
    const because = `${lease.topic}/${lease.queue} was read up to position ${recorded.position} and ends before: this database was put back to an older state, and messages are lost from its log; those that had been read are where they were read to`
    if (isLost) putBack(because)
    epoch = (await store.epochs.begin(lease, isLost ? because : undefined)).epoch
  }
  if (recorded.epoch !== epoch || recorded.position !== at) await far.record(at, epoch)
  return { position: at, epoch, isRecorded: true }
}
