import type { OwnerId } from './ids.ts'

export interface TopicDeclaration {
  readonly name: string
  readonly queues: number
}

export interface QueueName {
  readonly topic: string
  readonly queue: number
}

/** A right to read one queue for one reader, until it lapses. Immutable; a take-over makes a new one. */
export interface Lease extends QueueName {
  readonly reader: string
  readonly owner: OwnerId
  /** Grows at every take-over; every write carries it. */
  readonly fence: number
  /** The cursor when the lease was taken. */
  readonly position: number
  /** The cursor when the reader was created: where reading begins again if what was read is lost. */
  readonly start: number
  /** After a predecessor's crash: messages up to this position run alone, marked (P17). 0 if nothing is suspect. */
  readonly suspectThrough: number
  /** Likewise, retried messages due at or before this time. 0 if none. */
  readonly suspectDueBefore: number
}
