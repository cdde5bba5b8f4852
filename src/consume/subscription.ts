import { WaybillError } from '../core/errors.ts'
import type { Message } from '../core/message.ts'
import type { Topic } from '../core/topic.ts'
import type { ConsumeSettings } from './options.ts'
import type { BatchHandler, Context, Handler } from './handler.ts'

/** One `consume` call: a topic, how its group handles it, and the handler, which always takes a list here. */
export interface Subscription<Tx> {
  readonly topic: Topic<never, unknown>
  readonly settings: ConsumeSettings
  /** Answers what the user's handler answered: nothing, an outcome, or something unknown. */
  handle(messages: readonly Message<unknown>[], context: Context<Tx>): unknown
}

/** @throws WaybillError `group.options-invalid` for a handler that is no function */
export function subscriptionOf<Tx>(
  topic: Topic<never, unknown>,
  settings: ConsumeSettings,
  handler: unknown,
): Subscription<Tx> {
  if (typeof handler !== 'function')
    throw new WaybillError(
      'group.options-invalid',
      `consumer group ${settings.group}: the handler must be a function`,
      { group: settings.group },
    )
  const isBatch = settings.batch !== undefined
  return {
    topic,
    settings,
    handle: (messages, context) =>
      isBatch
        ? (handler as BatchHandler<unknown, Tx>)(messages, context)
        : (handler as Handler<unknown, Tx>)(messages[0]!, context),
  }
}
