/** At most `limit` pieces of work at once, in the order in which they came. */
export class Limiter {
  readonly #limit: number
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  async run<R>(work: () => Promise<R>): Promise<R> {
    if (this.#running >= this.#limit) await new Promise<void>((granted) => this.#waiting.push(granted))
    else this.#running++
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }
}
