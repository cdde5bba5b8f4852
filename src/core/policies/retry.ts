import { WaybillError } from '../errors.ts'
import { type Duration, milliseconds } from '../duration.ts'

/**
 * When a failed message is tried again.
 * `attempt` counts the deliveries that failed so far, from 1. Undefined means: no more, dead-letter it.
 * `chance` is in [0, 1), from the random port.
 */
export interface RetryPolicy {
  delayMs(attempt: number, chance: number): number | undefined
}

const rocketmqSeconds = [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200]

/** RocketMQ's schedule: 10 s, 30 s, 1 m … 2 h, sixteen retries after the first delivery. The default. */
export const rocketmqRetries: RetryPolicy = {
  delayMs: (attempt) => {
    const seconds = rocketmqSeconds[attempt - 1]
    return seconds === undefined ? undefined : seconds * 1_000
  },
}

/**
 * Exponential back-off with full jitter over the upper half of each step, so that many failures do not come back at once.
 * @param options.first delay before the first retry · `factor` 2 · `max` longest delay · `retries` how many, then dead
 * @throws WaybillError `config.invalid`
 */
export function exponentialRetries(options: {
  first: Duration
  factor?: number
  max: Duration
  retries: number
}): RetryPolicy {
  const { factor = 2, retries } = options
  const firstMs = milliseconds(options.first)
  const maxMs = milliseconds(options.max)
  if (!(factor >= 1) || !Number.isInteger(retries) || retries < 0 || maxMs < firstMs) {
    throw new WaybillError(
      'config.invalid',
      'exponentialRetries needs factor ≥ 1, max ≥ first and a whole number of retries',
      { factor, retries },
    )
  }
  return {
    delayMs: (attempt, chance) => {
      if (attempt > retries) return undefined
      const step = Math.min(maxMs, firstMs * factor ** (attempt - 1))
      return Math.round(step / 2 + (step / 2) * chance)
    },
  }
}

/** The given delays, in order; dead after the last. `fixedRetries('1s', '5s', '1m')`, or `fixedRetries()` for none. */
export function fixedRetries(...delays: readonly Duration[]): RetryPolicy {
  const delaysMs = delays.map(milliseconds)
  return { delayMs: (attempt) => delaysMs[attempt - 1] }
}
