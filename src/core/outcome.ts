import { type Duration, milliseconds } from './duration.ts'

/**
 * What a handler may return besides nothing (done). A closed vocabulary: anything else is a programming error and is
 * dead-lettered as `handler.unknown-outcome`, because treating it as success would lose the message.
 */
export type Outcome =
  | { readonly outcome: 'retry'; readonly in?: Duration; readonly because: string }
  | { readonly outcome: 'deadLetter'; readonly because: string }
  | { readonly outcome: 'discard'; readonly because: string }

/**
 * Try again: rolls back what the handler wrote. Without `in`, the group's retry schedule says when. Charges one attempt.
 * @throws WaybillError `duration.invalid`
 */
export function retry(options: { in?: Duration; because: string }): Outcome {
  if (options.in !== undefined) milliseconds(options.in)
  return { outcome: 'retry', ...options }
}

/** Give up for good: rolls back what the handler wrote and keeps the message among the dead letters. */
export function deadLetter(options: { because: string }): Outcome {
  return { outcome: 'deadLetter', ...options }
}

/** Nothing needs doing: commits what the handler wrote, with a receipt that says discarded. */
export function discard(options: { because: string }): Outcome {
  return { outcome: 'discard', ...options }
}

export function isOutcome(value: unknown): value is Outcome {
  if (typeof value !== 'object' || value === null) return false
  const { outcome, because, in: delay } = value as { outcome?: unknown; because?: unknown; in?: unknown }
  if (typeof because !== 'string') return false
  return (
    outcome === 'deadLetter' ||
    outcome === 'discard' ||
    (outcome === 'retry' && (delay === undefined || isDuration(delay)))
  )
}

function isDuration(value: unknown): boolean {
  try {
    milliseconds(value as Duration)
    return true
  } catch {
    return false
  }
}
