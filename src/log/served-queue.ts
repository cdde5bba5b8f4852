import { isWaybillError, reasonOf } from '../core/errors.ts'
import type { HeldQueue, QueueReader } from '../core/log-reading.ts'
import type { Ports } from '../core/ports.ts'
import type { Lease, Outlook } from '../core/store.ts'
import type { Outlooks } from './outlooks.ts'
import type { WakeUps } from './wake-ups.ts'

const pauseFirstMs = 50
const pauseMaxMs = 5_000

/** `aborted` and `fenced`: the lease is not ours to give back. */
export interface ServingEnd {
  readonly kind: 'finished' | 'aborted' | 'fenced'
}

/** One queue while this process serves it. */
export class ServedQueue implements HeldQueue {
  readonly lease: Lease
  position: number
  readonly #reader: QueueReader
  readonly #wakeUps: WakeUps
  readonly #outlooks: Outlooks
  readonly #ports: Ports
  readonly #draining = new AbortController()
  readonly #lost = new AbortController()
  /** Resolves once serving has ended and what follows from it is done. */
  ended: Promise<void> = Promise.resolve()

  constructor(lease: Lease, reader: QueueReader, wakeUps: WakeUps, outlooks: Outlooks, ports: Ports) {
    this.lease = lease
    this.position = lease.position
    this.#reader = reader
    this.#wakeUps = wakeUps
    this.#outlooks = outlooks
    this.#ports = ports
  }

  get draining(): AbortSignal {
    return this.#draining.signal
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  get isLeaving(): boolean {
    return this.draining.aborted
  }

  mark(): number {
    return this.#wakeUps.mark()
  }

  idle(mark: number, until?: number): Promise<void> {
    return this.#wakeUps.idle(mark, this.draining, until)
  }

  outlook(): Promise<Outlook> {
    return this.#outlooks.of(this.lease)
  }

  breathe(): Promise<void> {
    return new Promise((resolve) => this.#ports.clock.afterTurn(resolve))
  }

  /** Waits, whatever happens meanwhile, unless the queue is to be left. */
  async #pause(failures: number): Promise<void> {
    const pauseMs = Math.min(pauseMaxMs, pauseFirstMs * 2 ** Math.min(failures, 10))
    await new Promise<void>((resolve) => {
      const done = (): void => {
        cancel()
        this.draining.removeEventListener('abort', done)
        resolve()
      }
      const cancel = this.#ports.clock.after(pauseMs, done)
      this.draining.addEventListener('abort', done)
      if (this.draining.aborted) done()
    })
  }

  drain(): void {
    this.#draining.abort()
  }

  lose(): void {
    this.#draining.abort()
    this.#lost.abort()
  }

  run(after: (end: ServingEnd) => Promise<void>): void {
    this.ended = this.#serve().then(after)
  }

  async #serve(): Promise<ServingEnd> {
    for (let failures = 0; ; failures++) {
      const before = this.position
      try {
        await this.#reader.serve(this)
        return this.lost.aborted ? { kind: 'aborted' } : { kind: 'finished' }
      } catch (error) {
        if (this.lost.aborted) return { kind: 'aborted' }
        if (isWaybillError(error, 'store.lease-lost')) return { kind: 'fenced' }
        const { reader, topic, queue } = this.lease
        this.#ports.log.warn(
          { err: error, reader, topic, queue },
          `serving ${topic}/${queue} for ${reader} failed and is tried again: ${reasonOf(error)}`,
        )
        if (this.position > before) failures = 0
        await this.#pause(failures)
        if (this.draining.aborted) return { kind: this.lost.aborted ? 'aborted' : 'finished' }
      }
    }
  }
}
