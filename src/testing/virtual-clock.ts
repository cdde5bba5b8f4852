import type { Clock } from '../core/clock.ts'
import { systemClock } from '../system.ts'

interface Timer {
  readonly dueAt: number
  readonly run: () => void
}

const epochStart = Date.UTC(2026, 0, 1)

/**
 * A clock that stands still until it is told to move. Event-loop turns stay real: nothing can be settled without them.
 *
 *   const clock = new VirtualClock()
 *   clock.after(30_000, retry)
 *   await clock.advance(30_000)   // retry has run, and what it awaited has settled
 */
export class VirtualClock implements Clock {
  /** The wall clock when nothing had elapsed: a sum of small steps would drift. */
  #start: number
  #elapsed = 0
  /** In the order in which they were set, which is the order among those due at the same time. */
  readonly #timers = new Set<Timer>()

  constructor(startAt: number = epochStart) {
    this.#start = startAt
  }

  now(): number {
    return this.#start + this.#elapsed
  }

  monotonic(): number {
    return this.#elapsed
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { dueAt: this.#elapsed + Math.max(0, delayMs), run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  afterTurn(run: () => void): () => void {
    return systemClock.afterTurn(run)
  }

  /** Moves on by `ms`, runs each timer at its own time, and lets what it started settle before it goes on to the next. */
  async advance(ms: number): Promise<void> {
    const until = this.#elapsed + ms
    for (let next = this.#nextUpTo(until); next; next = this.#nextUpTo(until)) {
      this.#timers.delete(next)
      this.#moveTo(Math.max(this.#elapsed, next.dueAt))
      next.run()
      await this.#turn()
    }
    this.#moveTo(until)
    await this.#turn()
  }

  /** Sets the wall clock forward or back, as an administrator or NTP does. Timers do not notice. */
  step(ms: number): void {
    this.#start += ms
  }

  /** How many timers wait: 0 after a clean stop. */
  get pending(): number {
    return this.#timers.size
  }

  #nextUpTo(until: number): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.dueAt <= until && (!first || timer.dueAt < first.dueAt)) first = timer
    }
    return first
  }

  #moveTo(elapsed: number): void {
    this.#elapsed = elapsed
  }

  #turn(): Promise<void> {
    return new Promise((settled) => systemClock.afterTurn(settled))
  }
}
