import type { Clock } from '../core/clock.ts'
import type { QueueLag } from '../core/store.ts'

export interface Health {
  /** Started, and every queue with waiting messages is making progress. */
  readonly ready: boolean
  readonly started: boolean
  /** Queues of this instance's readers in which messages wait and the cursor has not moved for a minute or more. */
  readonly stalled: readonly {
    readonly reader: string
    readonly topic: string
    readonly queue: number
    readonly waiting: number
    readonly forMs: number
  }[]
}

const stalledAfterMs = 60_000

/** Readiness by progress, not by sockets. Progress is seen between calls. */
export class HealthWatch {
  readonly #clock: Clock
  readonly #seen = new Map<string, { position: number; since: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  judge(started: boolean, lag: readonly QueueLag[]): Health {
    const now = this.#clock.monotonic()
    const stalled = lag.flatMap(({ reader, topic, queue, position, waiting }) => {
      const key = `${reader} ${topic}/${queue}`
      const last = this.#seen.get(key)
      if (waiting === 0 || last?.position !== position) this.#seen.set(key, { position, since: now })
      const forMs = now - this.#seen.get(key)!.since
      return waiting > 0 && forMs >= stalledAfterMs ? [{ reader, topic, queue, waiting, forMs }] : []
    })
    return { ready: started && stalled.length === 0, started, stalled }
  }
}
