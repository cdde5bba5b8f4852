import { milliseconds } from '../core/duration.ts'
import { WaybillError } from '../core/errors.ts'
import type { Decision, HalfOptions } from '../core/half.ts'

/** A topic's half-message options with every default filled in. */
export interface HalfSettings {
  readonly firstCheckMs: number
  readonly checkEveryMs: number
  readonly backOff: number
  readonly checks: number
  readonly checkTimeoutMs: number
  readonly expireAfterMs: number | undefined
  readonly whenExhausted: 'in-doubt' | Decision
}

/** @throws WaybillError `config.invalid`, `duration.invalid` */
export function halfSettingsOf(topic: string, options: HalfOptions = {}): HalfSettings {
  const { backOff = 1, checks = 15, whenExhausted = 'in-doubt', expireAfter } = options
  const settings = {
    firstCheckMs: milliseconds(options.firstCheck ?? '6s'),
    checkEveryMs: milliseconds(options.checkEvery ?? '30s'),
    backOff,
    checks,
    checkTimeoutMs: milliseconds(options.checkTimeout ?? '10s'),
    expireAfterMs: expireAfter === undefined ? undefined : milliseconds(expireAfter),
    whenExhausted,
  }
  const isSound =
    settings.firstCheckMs > 0 &&
    settings.checkEveryMs > 0 &&
    settings.checkTimeoutMs > 0 &&
    backOff >= 1 &&
    Number.isInteger(checks) &&
    checks >= 1
  if (!isSound || !['in-doubt', 'commit', 'rollback'].includes(whenExhausted)) {
    throw new WaybillError(
      'config.invalid',
      `the half-message options of topic ${topic} are refused: times must be positive, backOff at least 1, checks a whole number from 1, whenExhausted 'in-doubt', 'commit' or 'rollback'`,
      { topic },
    )
  }
  return settings
}

/** When the next check comes: the deadline of a message that expires is not overslept. */
export function nextCheckAt(
  settings: HalfSettings,
  checked: number,
  publishedAt: number,
  now: number,
): number {
  const next = now + settings.checkEveryMs * settings.backOff ** checked
  if (settings.expireAfterMs === undefined) return next
  const deadline = publishedAt + settings.expireAfterMs
  return deadline > now ? Math.min(next, deadline) : next
}
