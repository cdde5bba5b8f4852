import type { Duration } from './duration.ts'

/**
 * What a handler may return besides nothing (done). A closed vocabulary: anything else is a programming error and is
 * dead-lettered as `handler.unknown-outcome`, because treating it as success would lose the message.
 */
export type Outcome =
  | { readonly outcome: 'retry'; readonly in?: Duration; readonly because: string }
  | { readonly outcome: 'deadLetter'; readonly because: string }
  | { readonly outcome: 'discard'; readonly because: string }

/** Try again: rolls back what the handler wrote. Without `in`, the group's retry schedule says when. Charges one attempt. */
export function retry(options: { in?: Duration; because: string }): Outcome {
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
  const { outcome, because } = value as { outcome?: unknown; because?: unknown }
  return (
    (outcome === 'retry' || outcome === 'deadLetter' || outcome === 'discard') && typeof because === 'string'
  )
}
