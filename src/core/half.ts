import type { Duration } from './duration.ts'
import type { MessageId } from './ids.ts'
import type { MaybePromise } from './maybe-promise.ts'
import type { Envelope, PublishedEnvelope } from './message.ts'
import type { TopicDeclaration } from './lease.ts'

/** What a half message can become. Written once: a late contrary decision is refused and told who won. */
export type Decision = 'commit' | 'rollback'

/** What the local work or a check answers. Unknown leaves it to the next check. */
export type HalfAnswer = Decision | 'unknown'

export const halfStates = ['prepared', 'in-doubt', 'committed', 'rolled-back'] as const
export type HalfState = (typeof halfStates)[number]

export type DecidedBy = 'producer' | 'check-back' | 'person' | 'policy'

/** How the half messages of a topic are checked back. Every time is the database's clock. */
export interface HalfOptions {
  /** After the local work's last sign of life. Default '6s', as RocketMQ. */
  readonly firstCheck?: Duration
  /** Between checks. Default '30s'. */
  readonly checkEvery?: Duration
  /** Each interval is this many times the last. Default 1. */
  readonly backOff?: number
  /** Checks that a producer answered with unknown before the message is in doubt. Default 15. */
  readonly checks?: number
  /** How long one check may take; then it counts as unknown, apart. Default '10s'. */
  readonly checkTimeout?: Duration
  /** Pay-or-expire: still unknown at this age means roll back, recorded as expired. Default: never. */
  readonly expireAfter?: Duration
  /** What becomes of a message whose checks are used up. Default 'in-doubt': visible, alarmed, decided by a person. */
  readonly whenExhausted?: 'in-doubt' | Decision
}

/** A half message as its store keeps it. */
export interface StoredHalf extends Envelope {
  readonly state: HalfState
  /** Checks that a producer answered. */
  readonly checks: number
  /** Checks that threw or timed out. */
  readonly failures: number
  readonly decidedAt: number | null
  readonly decidedBy: DecidedBy | null
  readonly because: string | null
}

/** Half messages: prepared, checked back, decided. A part of the store's contract. */
export interface HalfStore<Tx> {
  /**
   * Writes the half message, committed when it resolves. Until `checkAt` the local work counts as alive and is not checked (P23).
   * A dedup key that is taken answers its first holder, and whether that one is still undecided (P27).
   */
  prepare(
    message: PublishedEnvelope,
    topic: TopicDeclaration,
    checkAt: number,
  ): Promise<{ readonly id: MessageId; readonly duplicate: boolean; readonly pending: boolean }>
  /** The local work's heartbeat: no check before `checkAt`. Answers false if the half is decided already. */
  postpone(id: MessageId, checkAt: number): Promise<boolean>
  /**
   * Decides inside the caller's transaction: on commit the message enters the log with it. The same decision twice is a no-op;
   * throws `half.already-decided` for a contrary one, which makes the business transaction fail (P23), and `half.unknown`.
   */
  decideIn(
    tx: Tx,
    id: MessageId,
    decision: Decision,
    by: DecidedBy,
    because: string | null,
  ): MaybePromise<void>
  /** The same in a transaction of its own. `expired` records a roll-back as such. */
  decide(
    id: MessageId,
    decision: Decision,
    by: DecidedBy,
    because: string | null,
    expired?: boolean,
  ): Promise<void>
  /** Takes halves whose check is due, so that no other instance checks them before `until`. Oldest first. */
  takeChecks(
    service: string,
    topics: readonly string[],
    until: number,
    limit: number,
  ): Promise<readonly StoredHalf[]>
  /** Records an unknown: answered by a producer, or failed, which is counted apart (P25). */
  recordUnknown(id: MessageId, answered: boolean, checkAt: number, because: string): Promise<void>
  /** Gives a half up to a person: visible and alarmed, not checked any more. */
  doubt(id: MessageId, because: string): Promise<void>
  /** When the next check of these topics is due; undefined if none waits. */
  nextCheck(service: string, topics: readonly string[]): Promise<number | undefined>
  list(filter: HalfFilter): Promise<readonly StoredHalf[]>
}

export interface HalfFilter {
  readonly id?: MessageId
  readonly key?: string
  readonly topic?: string
  /** Default: prepared and in doubt. */
  readonly states?: readonly HalfState[]
  /** Default 100, at most 1000. */
  readonly limit?: number
}
