import type { Clock } from '../core/clock.ts'

/** Polling is the safety net, never the plan. */
const pollMs = 1_000
/**
 * A change is heard of when it is written, and can be seen only once it is synced and committed. Whoever looks in between must
 * look again soon, or the poll would find it: after this time, and then whenever it has waited this many times as long.
 */
const lookAgainMs = 4
const lookAgainFactor = 3

/** Wakes idle readers. A mark taken before a read makes sure that a change between the read and the wait is not missed. */
export class WakeUps {
  readonly #clock: Clock
  #changes = 0
  #changedAt = -pollMs
  #announced = false
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  mark(): number {
    return this.#changes
  }

  /** Something may have changed. Many calls in one turn wake once. */
  changed(): void {
    this.#changes++
    this.#changedAt = this.#clock.monotonic()
    if (this.#announced || this.#waiting.size === 0) return
    this.#announced = true
    this.#clock.afterTurn(() => {
      this.#announced = false
      for (const wake of this.#waiting) wake()
    })
  }

  /** Resolves on a change since the mark, on the signal, at `until`, or when it is time to look again. */
  async idle(mark: number, signal: AbortSignal, until?: number): Promise<void> {
    if (signal.aborted || mark !== this.#changes) return
    const waitMs = Math.min(
      this.pauseMs(),
      until === undefined ? pollMs : Math.max(0, until - this.#clock.now()),
    )
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        cancel()
        resolve()
      }
      const cancel = this.#clock.after(waitMs, wake)
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake)
    })
  }

  /** How long to wait before looking again: the longer the last change is ago, the longer. */
  pauseMs(): number {
    const sinceMs = this.#clock.monotonic() - this.#changedAt
    return Math.min(pollMs, Math.max(lookAgainMs, sinceMs * lookAgainFactor))
  }
}
