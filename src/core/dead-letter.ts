import type { ErrorCode } from './errors.ts'
import type { MessageId } from './ids.ts'

export interface DeadLetterFilter {
  readonly group?: string
  readonly topic?: string
  readonly key?: string
  readonly id?: MessageId
  readonly cause?: ErrorCode
  /** The dependency that its last failure was charged to. */
  readonly dependency?: string
  readonly since?: Date
  readonly until?: Date
  /** Default 100, at most 1000. */
  readonly limit?: number
}

export interface DeadLetterKey {
  readonly group: string
  readonly id: MessageId
}

export interface DeadLetter extends DeadLetterKey {
  readonly topic: string
  readonly tag: string | null
  readonly key: string | null
  readonly shardingKey: string | null
  readonly cause: ErrorCode
  readonly because: string
  /** What its last failure was charged to, if not to itself. */
  readonly dependency: string | null
  readonly attempts: number
  /** How often it was redriven before. */
  readonly generation: number
  readonly publishedAt: number
  readonly diedAt: number
}

/** Who did it and why, kept with every act of an operator. */
export interface AuditNote {
  readonly by: string
  readonly because: string
}
