import { reasonOf } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import type { RedriveStore } from '../core/redrive.ts'

/** How often jobs that another process made are looked for. */
const lookEveryMs = 1_000

export interface RedriveRunnerParts {
  readonly redrives: RedriveStore
  readonly ports: Ports
  /** Something is due that was not. */
  readonly redriven: () => void
}

/** Works on the redrive jobs of one database, beside any number of others that do the same. */
export class RedriveRunner {
  readonly #parts: RedriveRunnerParts
  #cancel: (() => void) | undefined
  #stepping: Promise<void> = Promise.resolve()
  #isStopped = false
  /** Asked to look again while it was at work: what it read may be older than what was asked for. */
  #isPoked = false

  constructor(parts: RedriveRunnerParts) {
    this.#parts = parts
  }

  start(): void {
    this.#stepIn(0)
  }

  /** A job may have been made or changed here: look now. */
  poke(): void {
    if (this.#cancel) this.#stepIn(0)
    else this.#isPoked = true
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    await this.#stepping
  }

  #stepIn(delayMs: number): void {
    if (this.#isStopped) return
    this.#cancel?.()
    this.#cancel = this.#parts.ports.clock.after(delayMs, () => {
      this.#cancel = undefined
      this.#stepping = this.#step()
    })
  }

  async #step(): Promise<void> {
    const { redrives, ports, redriven } = this.#parts
    let waitMs = lookEveryMs
    this.#isPoked = false
    try {
      const step = await redrives.step()
      if (step.redriven > 0) redriven()
      waitMs = Math.min(lookEveryMs, step.nextInMs ?? lookEveryMs)
    } catch (error) {
      ports.log.warn({ err: error }, `redriving failed and is tried again: ${reasonOf(error)}`)
    }
    this.#stepIn(this.#isPoked ? 0 : waitMs)
  }
}
