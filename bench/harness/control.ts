import { median } from './statistics.ts'

/** The same against itself must come out as the same; further off, the machine was too restless to tell anything. */
const within = { min: 0.9, max: 1.1 }

/** Why the ratios beside this control prove nothing, or undefined if they do. */
export function whyInconclusive(control: readonly number[]): string | undefined {
  const ratio = median(control)
  if (ratio >= within.min && ratio <= within.max) return undefined
  return `the control is ${ratio.toFixed(2)}, not 0.90 to 1.10`
}
