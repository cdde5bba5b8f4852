import type { Clock } from '../core/clock.ts'
import { systemClock } from '../system.ts'

/** The real clock, counting the timers that wait: a clean stop leaves none. */
export function countingClock(): Clock & { readonly pending: number } {
  const waiting = new Set<object>()
  return {
    get pending() {
      return waiting.size
    },
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic(),
    afterTurn: (run) => systemClock.afterTurn(run),
    after: (delayMs, run) => {
      const timer = {}
      waiting.add(timer)
      const cancel = systemClock.after(delayMs, () => {
        waiting.delete(timer)
        run()
      })
      return () => {
        waiting.delete(timer)
        cancel()
      }
    },
  }
}
