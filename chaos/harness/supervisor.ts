import type { Running } from './running.ts'

/** Starts a program again whenever it was killed, as systemd or Kubernetes does. */
export class Supervisor {
  readonly #start: () => Running
  #current: Running
  #isResting = false
  /** How often it died of a signal that its supervisor did not send. */
  deaths = 0
  readonly #watching: Promise<void>

  constructor(start: () => Running) {
    this.#start = start
    this.#current = start()
    this.#watching = this.#watch()
  }

  get current(): Running {
    return this.#current
  }

  /** SIGTERM, and starts it again once it has ended in order: a rolling restart. */
  async restart(): Promise<void> {
    const leaving = this.#current
    await leaving.terminate()
    await this.#hasChangedFrom(leaving)
  }

  async kill(): Promise<void> {
    const dying = this.#current
    await dying.kill()
    await this.#hasChangedFrom(dying)
  }

  /** Lets it stand still for so long, and does not wait for that. Not for ever: it may hold a lock that all others need. */
  pause(forMs: number): void {
    const paused = this.#current
    paused.pause()
    setTimeout(() => paused.goOn(), forMs)
  }

  /** Ends it in order, for good. Answers how it ended. */
  async rest(): Promise<Awaited<Running['ended']>> {
    this.#isResting = true
    // Before that it has no handler for the signal, and would die of it.
    await this.#current.says('ready')
    const ended = await this.#current.terminate()
    await this.#watching
    return ended
  }

  async #watch(): Promise<void> {
    for (;;) {
      const { signal } = await this.#current.ended
      if (signal !== null) this.deaths++
      if (this.#isResting) return
      this.#current = this.#start()
    }
  }

  async #hasChangedFrom(former: Running): Promise<void> {
    // The watch of the same end comes a few promises later.
    while (this.#current === former && !this.#isResting) await new Promise((resolve) => setImmediate(resolve))
  }
}
