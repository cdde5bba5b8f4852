/**
 * Every error that Waybill throws is a WaybillError with one of these codes. Codes are stable: programs may branch on them,
 * and docs/reference/errors.md has one entry for each. A new code needs an entry there (a test compares the two lists).
 */
export const errorCodes = [
  'config.invalid',
  'duration.invalid',
  'topic.name-invalid',
  'topic.queues-invalid',
  'topic.queues-differ',
  'topic.schema-async',
  'message.invalid',
  'message.field-unknown',
  'message.body-invalid',
  'message.body-not-json',
  'message.body-too-large',
  'message.key-invalid',
  'message.tag-invalid',
  'message.headers-invalid',
  'message.delay-invalid',
  'half.unknown',
  'half.already-decided',
  'half.no-check-back',
  'publish.no-transaction',
  'publish.handle-unknown',
  'publish.after-commit-unsupported',
  'publish.dedup-pending',
  'group.name-invalid',
  'group.options-invalid',
  'group.start-position-needed',
  'group.subscription-differs',
  'group.other-database',
  'group.unknown',
  'group.in-use',
  'group.not-empty',
  'dependency.down',
  'redrive.unknown',
  'redrive.invalid',
  'handler.failed',
  'handler.unknown-outcome',
  'handler.dead-lettered',
  'handler.retries-exhausted',
  'handler.poison',
  'receipt.id-collision',
  'receipt.older-than-horizon',
  'store.not-a-database',
  'store.corrupt',
  'store.read-only',
  'store.disk-full',
  'store.busy',
  'store.io',
  'store.schema-missing',
  'store.schema-too-new',
  'store.unsafe-settings',
  'store.driver-missing',
  'store.lease-lost',
  'store.landing-gap',
  'store.commit-unknown',
  'store.transaction-left-open',
  'store.transaction-closed',
  'store.transaction-failed',
  'store.transaction-control',
  'transport.refused',
  'dead-letter.unknown',
  'waybill.stopped',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** What was involved, for logs and programs. Never a message body, never a secret. */
export type Facts = Readonly<Record<string, unknown>>

export class WaybillError extends Error {
  override readonly name = 'WaybillError'
  readonly code: ErrorCode
  /** What was wrong and what to do, without the code. */
  readonly reason: string
  readonly facts: Facts

  /** @param message what was wrong and what to do about it, in one or two sentences */
  constructor(code: ErrorCode, message: string, facts: Facts = {}, options?: ErrorOptions) {
    super(`${code}: ${message}`, options)
    this.code = code
    this.reason = message
    this.facts = facts
  }
}

export function isWaybillError(error: unknown, ...codes: readonly ErrorCode[]): error is WaybillError {
  return error instanceof WaybillError && (codes.length === 0 || codes.includes(error.code))
}

/** A broken assumption inside Waybill: continuing could lose a message, so it is thrown and never retried. */
export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`Waybill invariant broken: ${what}`)
}

/** The text of anything that was thrown, for a reason column or a log line. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error) return error.message
  try {
    return String(error)
  } catch {
    return 'something that cannot be shown was thrown'
  }
}
