import type { AuditNote } from './dead-letter.ts'

export type StartPosition = 'oldest' | 'now' | Date

/** Consumer groups as an operator sees them: a part of the store's contract. */
export interface GroupStore {
  /** Every declared group of this database, by name; with those that are only registered here, because they consume in another one. */
  list(): Promise<readonly StoredGroup[]>
  /** The same groups, without what `list` has to count. */
  subscriptions(): Promise<readonly StoredSubscription[]>
  /**
   * Holds a group: its instances begin no message, at the latest with their next window; nothing is lost or charged. Answers false
   * if it was paused already, whose note stays. Audited. Throws `group.unknown`, also where the group is only registered.
   */
  pause(group: string, note: AuditNote): Promise<boolean>
  /** Lets a group go on. Answers false if it was not paused. Audited. Throws `group.unknown`. */
  resume(group: string, note: AuditNote): Promise<boolean>
  /**
   * Forgets a group: its declaration, cursors, leases and pause; its receipts stay for their retention, so that a group of the same
   * name repeats nothing. With `abandon` its running, retrying, held and dead messages are discarded, and those that its cursors have
   * not passed are left to whoever takes the name next. What its instances still believe to hold stays stale for ever (P16). Audited.
   * Throws `group.unknown`; `group.in-use` while an instance of it lives; `group.not-empty` if open messages would be given up without
   * `abandon`.
   */
  remove(group: string, note: AuditNote, options: { readonly abandon: boolean }): Promise<void>
}

export interface Pause {
  readonly at: number
  readonly by: string
  readonly because: string
}

export interface StoredSubscription {
  readonly name: string
  /** None where it is only registered. */
  readonly topics: readonly { readonly name: string; readonly tags: string }[]
}

export interface StoredGroup extends StoredSubscription {
  readonly ordered: boolean
  readonly onFailure: 'hold' | 'skip'
  readonly subscriptionVersion: number
  /** Where it began; an ISO date for a date, nothing where it is only registered. */
  readonly start: Exclude<StartPosition, Date> | (string & {})
  readonly createdAt: number
  readonly paused: Pause | null
  /** Live instances. */
  readonly instances: number
  /** Messages after its cursors. */
  readonly waiting: number
  readonly retrying: number
  readonly held: number
  readonly dead: number
}
