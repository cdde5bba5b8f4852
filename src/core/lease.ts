import type { OwnerId } from './ids.ts'

export interface TopicDeclaration {
  readonly name: string
  readonly queues: number
}

export interface QueueName {
  readonly topic: string
  readonly queue: number
}

/** What a queue's reader has to look at besides the log. */
export interface Outlook extends QueueName {
  readonly reader: string
  /** When the next message is due that left the log's path, or for `dueReader` that did not enter it yet. */
  readonly dueAt: number | undefined
  /** Whether an operator holds the group. */
  readonly isPaused: boolean
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
