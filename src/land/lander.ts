import { reasonOf } from '../core/errors.ts'
import type { Ports } from '../core/ports.ts'
import type { Store, TopicDeclaration } from '../core/store.ts'
import type { IncomingBatch, OpenTransport } from '../core/transport.ts'

const pauseFirstMs = 50
const pauseMaxMs = 5_000

export interface LanderParts {
  readonly store: Store<never>
  readonly transport: OpenTransport
  readonly transportName: string
  readonly topics: readonly TopicDeclaration[]
  readonly ports: Ports
  /** Called after messages have landed: this process's own readers need not wait for the file to tell them. */
  readonly landed: () => void
}

/**
 * Brings what the transport carries into the consumer's log: append with the source position in one transaction, *then* let the
 * transport acknowledge (P1, P2). No handler runs in here, so no broker's lease or rebalance can come in its way.
 */
export class Lander {
  readonly #parts: LanderParts
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  /** Since something landed last. */
  #failures = 0

  constructor(parts: LanderParts) {
    this.#parts = parts
  }

  start(): void {
    this.#running = this.#receive()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #receive(): Promise<void> {
    const { transport, ports, transportName } = this.#parts
    while (!this.#stopping.signal.aborted) {
      try {
        await transport.receive((batch) => this.#land(batch), this.#stopping.signal)
        if (this.#stopping.signal.aborted) return
        throw new Error('the transport stopped receiving by itself')
      } catch (error) {
        ports.log.warn(
          { err: error, transport: transportName },
          `receiving failed and is tried again: ${reasonOf(error)}`,
        )
        await this.#pause(this.#failures++)
      }
    }
  }

  async #land(batch: IncomingBatch): Promise<void> {
    const { store, ports, topics, landed, transportName } = this.#parts
    ports.reached('land.received-not-landed')
    const answers = await store.land({ ...batch, topics })
    const fresh = answers.filter((answer) => answer === 'landed').length
    ports.telemetry.count('landed', { transport: transportName }, fresh)
    ports.telemetry.count('suppressed', { transport: transportName }, answers.length - fresh)
    if (fresh > 0) landed()
    this.#failures = 0
    ports.reached('land.landed-not-acknowledged')
  }

  async #pause(failures: number): Promise<void> {
    const { signal } = this.#stopping
    await new Promise<void>((resolve) => {
      const done = (): void => {
        cancel()
        signal.removeEventListener('abort', done)
        resolve()
      }
      const cancel = this.#parts.ports.clock.after(
        Math.min(pauseMaxMs, pauseFirstMs * 2 ** Math.min(failures, 10)),
        done,
      )
      signal.addEventListener('abort', done)
      if (signal.aborted) done()
    })
  }
}
