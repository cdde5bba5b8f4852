/** Who may use the write connection: one at a time, first come first served. */
export class WriteTurn {
  #held = false
  readonly #waiting: (() => void)[] = []
  /** Set while the holder has not begun its transaction and may be asked to step aside. */
  #stepAside: (() => void) | undefined

  /** Waits for the turn. The answer gives it back, once. */
  async take(): Promise<() => void> {
    if (this.#held) await new Promise<void>((granted) => this.#waiting.push(granted))
    else this.#held = true
    return this.#releaseOnce()
  }

  /** Takes the turn now, if nobody is in a transaction. */
  tryTake(): (() => void) | undefined {
    if (this.#held) this.#stepAside?.()
    if (this.#held) return undefined
    this.#held = true
    return this.#releaseOnce()
  }

  /** The holder says that it has not begun yet: `tryTake` may call this to make it give the turn back. */
  mayStepAside(stepAside: (() => void) | undefined): void {
    this.#stepAside = stepAside
  }

  #releaseOnce(): () => void {
    let released = false
    return () => {
      if (released) return
      released = true
      this.#stepAside = undefined
      const next = this.#waiting.shift()
      if (next) next()
      else this.#held = false
    }
  }
}
