import type { Envelope } from './message.ts'

/** What a window may hold. Of bodies up to 8 KiB that is as many as anybody reads at once. */
const windowBytesMax = 8 * 1024 * 1024
/** Before anything is known of the bodies, which may have 4 MiB each. */
const firstMax = 100

/**
 * How many messages of a queue to read at once: as many as are likely to fit, going by the bodies of the last window, and at most twice
 * as many as the last time. Large bodies would otherwise fill the memory of a process by the thousand, and again once it was restarted.
 */
export class WindowSize {
  readonly #least: number
  readonly #multipleOf: number
  readonly #most: number
  #limit: number

  /**
   * @param least messages that are read at once whatever they hold, such as those that handlers run at the same time
   * @param multipleOf a handler's batch, so that none is cut short; as many are read at least
   */
  constructor(most: number, { least = 1, multipleOf = 1 } = {}) {
    this.#least = Math.max(least, multipleOf)
    this.#multipleOf = multipleOf
    this.#most = most
    this.#limit = this.#within(firstMax)
  }

  get limit(): number {
    return this.#limit
  }

  /** Learns from what was read; an empty window tells nothing. */
  saw(window: readonly Pick<Envelope, 'body'>[]): void {
    if (window.length === 0) return
    const bytes = window.reduce((sum, { body }) => sum + body.length, 0)
    const fitting = Math.floor((windowBytesMax * window.length) / Math.max(1, bytes))
    this.#limit = this.#within(Math.min(fitting, 2 * this.#limit))
  }

  #within(count: number): number {
    const bounded = Math.max(this.#least, Math.min(count, this.#most))
    return Math.floor(bounded / this.#multipleOf) * this.#multipleOf
  }
}
