import { isWaybillError, reasonOf } from '../core/errors.ts'
import type { LoggedMessage } from '../core/message.ts'
import type { Ports } from '../core/ports.ts'
import type { Settlement } from '../core/store.ts'
import { type Delivery, OutcomeThrown } from './effect.ts'
import { type ConsumeSettings, retryAt } from './options.ts'

const reasonMax = 2_000

/** What no dependency can be the cause of: the handler has said what it wants, or the message is not what it should be. */
export function isHandlersOwn(error: unknown): boolean {
  return (
    error instanceof OutcomeThrown || isWaybillError(error, 'handler.unknown-outcome', 'message.body-invalid')
  )
}

/**
 * What becomes of messages that failed by a dependency: due again, without an attempt. Where order is asked for, only the first of
 * each key; the others wait behind it. `keys` are those that have a message waiting now.
 */
export function postponed(
  { messages, attempts }: Delivery,
  { ordered }: ConsumeSettings,
  why: { readonly dependency: string; readonly dueAt: number; readonly because: string },
): { readonly settlements: readonly Settlement[]; readonly keys: ReadonlySet<string> } {
  const keys = new Set<string>()
  const settlements = messages.map((message): Settlement => {
    const { shardingKey } = message
    const isBehind = ordered && shardingKey !== null && keys.has(shardingKey)
    if (shardingKey !== null) keys.add(shardingKey)
    if (isBehind) return heldBehind(message)
    return {
      message,
      state: 'retrying',
      attempts,
      dueAt: why.dueAt,
      cause: 'dependency.down',
      because: why.because.slice(0, reasonMax),
      dependency: why.dependency,
    }
  })
  return { settlements, keys }
}

export function heldBehind(message: LoggedMessage): Settlement {
  return {
    message,
    state: 'held',
    attempts: 0,
    because: 'an earlier message of its sharding key is not done',
  }
}

/** What becomes of a message whose delivery failed: due again, or dead, with the cause. `attempts` failed before this one. */
export function settlementOf(
  error: unknown,
  message: LoggedMessage,
  attempts: number,
  settings: ConsumeSettings,
  ports: Ports,
): Settlement {
  const failed = attempts + 1
  const because = reasonOf(error).slice(0, reasonMax)
  const dead = (cause: NonNullable<Settlement['cause']>): Settlement => ({
    message,
    state: 'dead',
    attempts: failed,
    cause,
    because,
    releaseFollower: settings.ordered,
  })
  if (error instanceof OutcomeThrown && error.outcome.outcome === 'deadLetter')
    return dead('handler.dead-lettered')
  if (isWaybillError(error, 'handler.unknown-outcome', 'message.body-invalid')) return dead(error.code)
  const asked =
    error instanceof OutcomeThrown && error.outcome.outcome === 'retry' ? error.outcome.in : undefined
  const dueAt = retryAt(settings, failed, asked, ports.clock.now(), ports.random.next())
  if (dueAt === undefined) return dead('handler.retries-exhausted')
  return { message, state: 'retrying', attempts: failed, dueAt, cause: 'handler.failed', because }
}
