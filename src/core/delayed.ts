import type { MessageId } from './ids.ts'
import type { MaybePromise } from './maybe-promise.ts'
import type { Lease } from './lease.ts'

/** The reader that moves due messages into the log; one lease per queue, like any other. */
export const dueReader = '@due'

/** Delayed messages of one topic, by id or by business key. */
export type DelayedKey = { readonly service: string; readonly topic: string } & (
  | { readonly id: MessageId }
  | { readonly key: string }
)

/** Messages that are not due yet: a part of the store's contract. `append` puts those in whose `eligibleAt` is still to come. */
export interface DelayedStore<Tx> {
  /**
   * Moves up to `limit` due messages of the lease's queue into the log, by (due, position), without skipping any: delete and insert
   * in one transaction, so that each enters the log once, however many instances there are (P22). Answers how many.
   * Throws `store.lease-lost`.
   */
  moveDue(lease: Lease, now: number, limit: number): Promise<number>
  /** In the caller's transaction: takes back what still waits. Answers the ids it took back: of others it was too late (P22). */
  cancel(tx: Tx, which: DelayedKey, because: string): MaybePromise<readonly MessageId[]>
}
