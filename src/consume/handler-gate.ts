import type { Clock } from '../core/clock.ts'

/** How long a suspect waits for the handlers that are running before it runs beside them. */
const aloneWaitMs = 2_000

/**
 * Lets handlers run together, or a suspect alone. Only a process that dies while a message runs alone may blame that message
 * (P17). A handler that hangs must not stop the others for ever: after a while the suspect runs beside it, and is not blamed.
 */
export class HandlerGate {
  readonly #clock: Clock
  #running = 0
  #alone = false
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async together<R>(work: () => Promise<R>): Promise<R> {
    while (this.#alone) await this.#change()
    return this.#run(work)
  }

  async alone<R>(work: (reallyAlone: boolean) => Promise<R>): Promise<R> {
    while (this.#alone) await this.#change()
    this.#alone = true
    try {
      const deadline = this.#clock.monotonic() + aloneWaitMs
      while (this.#running > 0 && this.#clock.monotonic() < deadline)
        await this.#change(deadline - this.#clock.monotonic())
      return await this.#run(() => work(this.#running === 1))
    } finally {
      this.#alone = false
      this.#changed()
    }
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
