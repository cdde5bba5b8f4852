import type { Message } from '../core/message.ts'
import type { Topic } from '../core/topic.ts'
import type { ConsumeSettings } from './options.ts'
import type { Context } from './handler.ts'

/** One `consume` call: a topic, how its group handles it, and the handler, which always takes a list here. */
export interface Subscription<Tx> {
  readonly topic: Topic<never, unknown>
  readonly settings: ConsumeSettings
  /** Answers what the user's handler answered: nothing, an outcome, or something unknown. */
  handle(messages: readonly Message<unknown>[], context: Context<Tx>): unknown
}
