import { reasonOf } from '../core/errors.ts'
import type { OwnerId } from '../core/ids.ts'
import type { LogReading, QueueReader, QueueReaders } from '../core/log-reading.ts'
import type { Ports } from '../core/ports.ts'
import type { Lease, ReaderMembership, Store } from '../core/store.ts'
import { Outlooks } from './outlooks.ts'
import { ServedQueue } from './served-queue.ts'
import { WakeUps, pollMs } from './wake-ups.ts'

/** Heartbeats per lease time: two may fail before the lease lapses. */
const heartbeatsPerLease = 3
/** After a change, how long to wait before asking whether a queue has become free. Changes come in bursts. */
const openingCheckMs = 25
/** Under a steady flow of changes it is asked no more often than this. */
const openingChecksApartMs = 250
/** Older than every version that a reader can have. */
const leavingVersion = -1
/** How long aborted work may take to notice. */
const abortGraceMs = 500

export function logReading(ports: Ports): LogReading {
  return { over: (store, owner, leaseMs) => new SharedQueues(ports, store, owner, leaseMs) }
}

/**
 * The queues that one owner holds over one store. Every heartbeat renews the leases and compares what is held with what is served:
 * a new lease starts a server, a lost one aborts it, a surplus one drains it and is handed over. A heartbeat that fails means the
 * leases are lost: a reader that goes on in the belief that it still holds them would work for nothing, its writes being fenced.
 */
class SharedQueues implements QueueReaders {
  readonly #ports: Ports
  readonly #store: Store<never>
  readonly #owner: OwnerId
  readonly #leaseMs: number
  readonly #readers: QueueReader[] = []
  readonly #served = new Map<string, ServedQueue>()
  /** Held queues that could not be served yet: the next heartbeat is too long to wait for. */
  readonly #unserved = new Set<string>()
  readonly #wakeUps: WakeUps
  readonly #outlooks: Outlooks
  #cancelHeartbeat: (() => void) | undefined
  #cancelOpeningCheck: (() => void) | undefined
  #isCheckSoon = false
  #checkedAt = -Infinity
  #heartbeat: Promise<void> = Promise.resolve()
  #unwatch: (() => void) | undefined
  #stopping = false

  constructor(ports: Ports, store: Store<never>, owner: OwnerId, leaseMs: number) {
    this.#ports = ports
    this.#store = store
    this.#owner = owner
    this.#leaseMs = leaseMs
    this.#wakeUps = new WakeUps(ports.clock)
    this.#outlooks = new Outlooks(store, owner, ports.clock)
  }

  add(reader: QueueReader): void {
    this.#readers.push(reader)
  }

  async start(): Promise<void> {
    if (this.#readers.length === 0) return
    this.#unwatch = this.#store.watch(() => this.poke())
    await this.#beat()
    if (!this.#isCheckSoon) this.#checkIn(pollMs)
  }

  poke(): void {
    this.#wakeUps.changed()
    // Not before the start, nor where there is nothing to read: publishing alone looks for no queues.
    if (!this.#unwatch || this.#isCheckSoon) return
    this.#isCheckSoon = true
    const sinceMs = this.#ports.clock.monotonic() - this.#checkedAt
    this.#checkIn(Math.max(openingCheckMs, openingChecksApartMs - sinceMs))
  }

  /** Looks for free queues soon after a change, and every now and then, where changes are not heard of. */
  #checkIn(delayMs: number): void {
    if (this.#stopping) return
    this.#cancelOpeningCheck?.()
    this.#cancelOpeningCheck = this.#ports.clock.after(delayMs, () => {
      this.#isCheckSoon = false
      void this.#beatIfOpening()
    })
  }

  async stop(withinMs: number): Promise<void> {
    if (this.#readers.length === 0) return
    this.#stopping = true
    this.#cancelOpeningCheck?.()
    await this.#heartbeat
    const served = [...this.#served.values()]
    for (const queue of served) queue.drain()
    // Heartbeats go on, for what is still finishing, but no longer count this owner: the others' share grows before the first
    // queue is given back, so that they take each at once.
    await this.#beat()
    await this.#ended(served, withinMs)
    await this.#heartbeat
    this.#cancelHeartbeat?.()
    this.#unwatch?.()
    try {
      await this.#store.leave(this.#owner)
    } catch (error) {
      this.#ports.log.warn({ err: error }, `could not leave, the membership will lapse: ${reasonOf(error)}`)
    }
  }

  /** A handler that ignores its signal is left behind; its writes are fenced or its connection closed. */
  async #ended(served: readonly ServedQueue[], withinMs: number): Promise<void> {
    const { clock } = this.#ports
    const cancelAbort = clock.after(withinMs, () => served.forEach((queue) => queue.lose()))
    await new Promise<void>((resolve) => {
      const cancel = clock.after(withinMs + abortGraceMs, resolve)
      void Promise.all(served.map((queue) => queue.ended)).then(() => {
        cancel()
        resolve()
      })
    })
    cancelAbort()
  }

  async #memberships(): Promise<readonly ReaderMembership[]> {
    return Promise.all(
      this.#readers.map(async (reader) => ({
        reader: reader.reader,
        runningMax: reader.runningMax,
        // Who is of an older version keeps what it holds, takes nothing, and is not counted (P26): just what leaving means.
        ...(this.#stopping
          ? { version: leavingVersion, queues: [] }
          : { version: reader.version, queues: await reader.queues() }),
      })),
    )
  }

  async #beatIfOpening(): Promise<void> {
    this.#checkedAt = this.#ports.clock.monotonic()
    try {
      if (!this.#stopping && (await this.#store.hasOpening(this.#owner, await this.#memberships())))
        await this.#beat()
    } catch (error) {
      this.#ports.log.warn({ err: error }, `could not look for free queues: ${reasonOf(error)}`)
    }
    if (!this.#isCheckSoon) this.#checkIn(pollMs)
  }

  /** Heartbeats never overlap. */
  #beat(): Promise<void> {
    this.#heartbeat = this.#heartbeat.then(() => this.#beatOnce())
    return this.#heartbeat
  }

  async #beatOnce(): Promise<void> {
    this.#cancelHeartbeat?.()
    try {
      for (const share of await this.#store.share(this.#owner, await this.#memberships(), this.#leaseMs)) {
        this.#reconcile(share.reader, share.leases, share.surplus)
      }
    } catch (error) {
      this.#ports.log.warn({ err: error }, `a heartbeat failed, its leases count as lost: ${reasonOf(error)}`)
      for (const queue of this.#served.values()) queue.lose()
    }
    this.#cancelHeartbeat = this.#ports.clock.after(
      this.#leaseMs / heartbeatsPerLease,
      () => void this.#beat(),
    )
  }

  #reconcile(name: string, leases: readonly Lease[], surplus: number): void {
    const held = new Map(leases.map((lease) => [keyOf(lease), lease]))
    for (const [key, queue] of this.#served) {
      if (queue.lease.reader === name && held.get(key)?.fence !== queue.lease.fence) queue.lose()
    }
    const reader = this.#readers.find((candidate) => candidate.reader === name)!
    if (this.#stopping) return
    for (const [key, lease] of held) {
      const former = this.#served.get(key)
      if (!former) this.#serve(key, reader, lease)
      // Ours, but whoever served it before is not done yet.
      else if (former.lost.aborted) this.#unserved.add(key)
    }
    const leaving = [...held.keys()]
      .map((key) => this.#served.get(key)!)
      .toSorted((a, b) => Number(b.isLeaving) - Number(a.isLeaving))
    for (const queue of leaving.slice(0, surplus)) queue.drain()
  }

  #serve(key: string, reader: QueueReader, lease: Lease): void {
    this.#ports.reached('lease.taken-not-read')
    const queue = new ServedQueue(lease, reader, this.#wakeUps, this.#outlooks, this.#ports)
    this.#served.set(key, queue)
    queue.run(async (end) => {
      try {
        // Whoever finished may hand over at once; who was aborted may still act, so the lease must lapse by itself.
        if (end.kind === 'finished') await this.#store.release([lease])
      } catch (error) {
        this.#ports.log.warn(
          { err: error },
          `a lease could not be given back and will lapse: ${reasonOf(error)}`,
        )
      }
      this.#served.delete(key)
      if (end.kind === 'fenced') this.#ports.telemetry.count('lease_lost', { reader: lease.reader }, 1)
      if (this.#stopping) return
      if (this.#unserved.delete(key)) void this.#beat()
      else this.poke()
    })
  }
}

function keyOf(lease: Lease): string {
  return `${lease.reader} ${lease.topic}/${lease.queue}`
}
