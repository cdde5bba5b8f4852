import type { Clock } from '../core/clock.ts'

/** How long a suspect waits for the handlers that are running before it runs beside them. */
const aloneWaitMs = 2_000
/** How long a suspect keeps the others waiting. Whoever takes longer hangs, or must be assumed to. */
const aloneMaxMs = 30_000

/** One suspect's time in the gate. */
export class Alone {
  /** False where other handlers run beside it. */
  isAlone = false
  /** The suspect's own: called before others are let in beside it, because it takes too long. */
  noLonger: () => Promise<void> = async () => {}
}

/**
 * Lets handlers run together, or a suspect alone. Only a process that dies while a message runs alone may blame that message
 * (P17). A handler that hangs must not stop the others for ever: neither one that a suspect waits for, nor a suspect itself.
 */
export class HandlerGate {
  readonly #clock: Clock
  #running = 0
  #alone: Alone | undefined
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async together<R>(work: () => Promise<R>): Promise<R> {
    while (this.#alone) await this.#change()
    return this.#run(work)
  }

  async alone<R>(work: (alone: Alone) => Promise<R>): Promise<R> {
    while (this.#alone) await this.#change()
    const turn = new Alone()
    this.#alone = turn
    let cancel = (): void => {}
    try {
      const deadline = this.#clock.monotonic() + aloneWaitMs
      while (this.#running > 0 && this.#clock.monotonic() < deadline)
        await this.#change(deadline - this.#clock.monotonic())
      turn.isAlone = this.#running === 0
      cancel = this.#clock.after(aloneMaxMs, () => void this.#letOthersIn(turn))
      return await this.#run(() => work(turn))
    } finally {
      cancel()
      this.#end(turn)
    }
  }

  async #letOthersIn(turn: Alone): Promise<void> {
    await turn.noLonger()
    turn.isAlone = false
    this.#end(turn)
  }

  #end(turn: Alone): void {
    // It may have let others in long ago, and the next suspect with them.
    if (this.#alone === turn) this.#alone = undefined
    this.#changed()
  }

  async #run<R>(work: () => Promise<R>): Promise<R> {
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      this.#changed()
    }
  }

  #changed(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  async #change(withinMs?: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve)
      if (withinMs !== undefined) this.#clock.after(withinMs, resolve)
    })
  }
}
