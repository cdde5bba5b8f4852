import type { MessageId } from './ids.ts'
import type { AuditNote, DeadLetterFilter, DeadLetterKey } from './dead-letter.ts'

export const redriveStates = ['running', 'paused', 'done', 'cancelled'] as const
/** `done` and `cancelled` are terminal. */
export type RedriveState = (typeof redriveStates)[number]

/** What to redrive. The selection is frozen when the job is made: what dies later is not part of it. */
export interface NewRedrive {
  /** Chosen by the caller: the same id again answers the job that is there, so that asking twice does it once. */
  readonly id: string
  /** Dead letters by filter, of which `limit` is ignored, or one by one. Only those whose generation is below `generationsMax`. */
  readonly selection: DeadLetterFilter | readonly DeadLetterKey[]
  readonly generationsMax: number
  /** How many per second, all instances together; null for at once. */
  readonly perSecond: number | null
  readonly order: RedriveOrder
  readonly note: AuditNote
}

export type RedriveOrder = 'oldest-first' | 'newest-first'

export interface RedriveJob {
  readonly id: string
  readonly state: RedriveState
  readonly perSecond: number | null
  readonly order: RedriveOrder
  readonly by: string
  readonly because: string
  readonly createdAt: number
  /** When it was done or cancelled. */
  readonly endedAt: number | null
  /** Size of the frozen selection. */
  readonly total: number
  readonly redriven: number
  /** No longer dead, or dead anew, when their turn came: somebody else had redriven or discarded them. */
  readonly gone: number
}

export interface RedriveItem extends DeadLetterKey {
  readonly id: MessageId
  /** Null while its turn has not come; stays null where the job was cancelled first. */
  readonly outcome: 'redriven' | 'gone' | null
  readonly at: number | null
}

export interface RedriveFilter {
  readonly id?: string
  readonly states?: readonly RedriveState[]
  /** Default 100, at most 1000. */
  readonly limit?: number
}

export interface RedriveStep {
  readonly redriven: number
  /** When to come again; undefined while no job is running. */
  readonly nextInMs: number | undefined
}

/** Redrive jobs: a part of the store's contract. */
export interface RedriveStore {
  /**
   * Freezes the selection and makes the job; `created` is false where the id was there already, whatever it says.
   * Throws `dead-letter.unknown` for letters that cannot be redriven (collisions at landing).
   */
  create(job: NewRedrive): Promise<{ readonly job: RedriveJob; readonly created: boolean }>
  /**
   * Does what is due of all running jobs: in one transaction marks the next items, makes their dead letters due again in the order of
   * their keys (P21), and keeps when the job goes on. Any number of instances may call it: each item is redriven once, a crash
   * repeats nothing and leaves nothing out. What is late is not made up for, so that no second gets more than the job's rate.
   */
  step(): Promise<RedriveStep>
  /** Newest first. */
  list(filter: RedriveFilter): Promise<readonly RedriveJob[]>
  /** Undefined for an id that nobody used. Items in the order of the job. */
  show(id: string): Promise<(RedriveJob & { readonly items: readonly RedriveItem[] }) | undefined>
  /**
   * Changes a job's state by compare-and-set; audited. Answers the job as it is then: one that has ended stays ended.
   * Throws `redrive.unknown`.
   */
  change(id: string, to: 'running' | 'paused' | 'cancelled', note: AuditNote): Promise<RedriveJob>
}
