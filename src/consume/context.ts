import type { Log } from '../core/log.ts'
import type { NewMessage } from '../core/message.ts'
import type { Topic } from '../core/topic.ts'
import type { Delivery } from './effect.ts'
import type { Context } from './handler.ts'

type PublishIn<Tx> = (tx: Tx, topic: Topic, message: NewMessage<unknown>) => unknown

/** Makes the context that a handler gets with its delivery. */
export function contextMaker<Tx>(
  log: Log,
  publish: PublishIn<Tx>,
): (tx: Tx, signal: AbortSignal, group: string, delivery: Delivery) => Context<Tx> {
  return (tx, signal, group, delivery) => ({
    tx,
    attempt: delivery.attempts + 1,
    signal,
    idempotencyKey: `${group}:${delivery.messages[0]!.id}`,
    log,
    publish: ((topic: Topic, message: NewMessage<unknown>) =>
      publish(tx, topic, inTraceOf(delivery, message))) as Context<Tx>['publish'],
  })
}

/** What a handler publishes belongs to the trace of the message that it handles (W3C trace context). */
function inTraceOf(delivery: Delivery, message: NewMessage<unknown>): NewMessage<unknown> {
  const traceparent =
    delivery.messages.length === 1 ? delivery.messages[0]!.headers['traceparent'] : undefined
  if (traceparent === undefined || message.headers?.['traceparent'] !== undefined) return message
  return { ...message, headers: { ...message.headers, traceparent } }
}
