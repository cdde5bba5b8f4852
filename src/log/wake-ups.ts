import type { Clock } from '../core/clock.ts'

/** Polling is the safety net, never the plan. */
export const pollMs = 1_000

/** Wakes idle readers. A mark taken before a read makes sure that a change between the read and the wait is not missed. */
export class WakeUps {
  readonly #clock: Clock
  #changes = 0
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
    if (this.#announced || this.#waiting.size === 0) return
    this.#announced = true
    this.#clock.afterTurn(() => {
      this.#announced = false
      for (const wake of this.#waiting) wake()
    })
  }

  /** Resolves on a change since the mark, on the signal, at `until`, or when it is time to poll. */
  async idle(mark: number, signal: AbortSignal, until?: number): Promise<void> {
    if (signal.aborted || mark !== this.#changes) return
    const waitMs = until === undefined ? pollMs : Math.min(pollMs, Math.max(0, until - this.#clock.now()))
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
}
