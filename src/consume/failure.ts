import { isWaybillError, reasonOf } from '../core/errors.ts'
import type { LoggedMessage } from '../core/message.ts'
import type { Ports } from '../core/ports.ts'
import type { Settlement } from '../core/store.ts'
import { OutcomeThrown } from './effect.ts'
import { type ConsumeSettings, retryAt } from './options.ts'

const reasonMax = 2_000

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
