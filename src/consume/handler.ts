import type { MessageId } from '../core/ids.ts'
import type { Log } from '../core/log.ts'
import type { Answer } from '../core/maybe-promise.ts'
import type { Message, NewMessage } from '../core/message.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Topic } from '../core/topic.ts'

/** What a handler gets besides the message. */
export interface Context<Tx, Mode extends 'sync' | 'async' = 'sync' | 'async'> {
  /** The transaction in which the receipt commits. What is written through it takes effect exactly once. */
  readonly tx: Tx
  /** Which delivery this is, from 1. Only deliveries that failed by the message's own fault count. */
  readonly attempt: number
  /** Aborts when the lease is lost or the time to stop is up: what is still running will not commit. */
  readonly signal: AbortSignal
  /** `<group>:<messageId>`, the same at every delivery: pass it to whatever you call outside, which happens at least once. */
  readonly idempotencyKey: string
  readonly log: Log
  /** Publishes in the same transaction. */
  publish<In>(topic: Topic<In, never> | Topic<In, unknown>, message: NewMessage<In>): Answer<Mode, MessageId>
}

export type Handler<Body, Tx, Mode extends 'sync' | 'async' = 'sync' | 'async'> = (
  message: Message<Body>,
  context: Context<Tx, Mode>,
) => void | Outcome | Promise<void | Outcome>

/** Takes up to `batch` messages at once. No outcome per message: a throw splits the batch to find the culprit. `attempt` is 1 unless alone. */
export type BatchHandler<Body, Tx, Mode extends 'sync' | 'async' = 'sync' | 'async'> = (
  messages: readonly Message<Body>[],
  context: Context<Tx, Mode>,
) => void | Promise<void>
