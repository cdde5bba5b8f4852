import { WaybillError } from './errors.ts'

/** A length of time with its unit: '250ms', '30s', '1.5m', '2h', '30d'. Bare numbers occur only in fields named …Ms. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const form = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/

/**
 * @returns whole milliseconds, rounded
 * @throws WaybillError `duration.invalid`
 */
export function milliseconds(duration: Duration): number {
  const match = typeof duration === 'string' ? form.exec(duration) : null
  if (!match) {
    throw new WaybillError(
      'duration.invalid',
      `${JSON.stringify(duration)} is no duration; write a number and a unit, such as '250ms', '30s', '5m', '2h' or '30d'`,
    )
  }
  return Math.round(Number(match[1]) * unitMs[match[2] as keyof typeof unitMs])
}
