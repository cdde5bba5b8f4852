import type { OwnerId } from './ids.ts'
import type { Lease, Outlook, QueueName, Store } from './store.ts'

/**
 * Reading a log by queues: shares the queues of a reader among all live instances, keeps the leases, wakes up on new messages
 * and hands over on stop. Implemented in `log/`; a contract here so that a transport that is itself a log can be given it.
 */
export interface LogReading {
  /** One owner's readers over one store; all of them share one heartbeat. */
  over(store: Store<never>, owner: OwnerId, leaseMs: number): QueueReaders
}

export interface QueueReaders {
  add(reader: QueueReader): void
  start(): Promise<void>
  /** Tells every reader something may be new; for changes that this process made itself. */
  poke(): void
  /**
   * Drains: no new work is begun, running work is finished within the time, leases of what finished are given back at once.
   * What does not finish is told to abort and keeps its lease until it lapses, because it may still act.
   */
  stop(withinMs: number): Promise<void>
}

export interface QueueReader {
  readonly reader: string
  readonly version: number
  readonly runningMax: number
  /** The queues to share; asked at every heartbeat, because topics appear. */
  queues(): Promise<readonly QueueName[]>
  /** Serves one queue until `held.draining` or `held.lost` aborts. */
  serve(held: HeldQueue): Promise<void>
}

/** A queue that this process holds the lease of. */
export interface HeldQueue {
  readonly lease: Lease
  /** Where to read on. The reader moves it when the cursor moves; after a failure it is served again from here. */
  position: number
  /** Finish what is running, begin nothing new, return. */
  readonly draining: AbortSignal
  /** The lease is gone or the time is up: what still runs will be refused by its fence. Abort it. */
  readonly lost: AbortSignal
  /** A mark to take before reading, so that a change between the read and `idle` is not missed. */
  mark(): number
  /** As of now. Queues that wake up together ask the database once. */
  outlook(): Promise<Outlook>
  /**
   * Lets timers, I/O and signals have their turn. Call it once per window: on a synchronous database a backlog is drained without
   * any real wait, and heartbeats would never run.
   */
  breathe(): Promise<void>
  /** Resolves once something may have changed since the mark, at the latest at `until` (clock time), or on draining. */
  idle(mark: number, until?: number): Promise<void>
}
