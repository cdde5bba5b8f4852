/** At most `limit` pieces of work at once, in the order in which they came. */
export class Limiter {
  readonly #limit: number
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Not at all if the signal aborts first: those before it may wait for something themselves. */
  async run(signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    if (this.#running < this.#limit) this.#running++
    else if (!(await this.#turn(signal))) return
    try {
      await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(grant), 1)
        resolve(false)
      }
      const grant = (): void => {
        signal?.removeEventListener('abort', giveUp)
        resolve(true)
      }
      signal?.addEventListener('abort', giveUp, { once: true })
      this.#waiting.push(grant)
    })
  }
}
