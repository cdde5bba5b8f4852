import type { Clock } from './clock.ts'
import type { MessageId, OwnerId } from './ids.ts'
import type { Log } from './log.ts'
import type { Telemetry } from './telemetry.ts'

/**
 * Everything by which Waybill reaches the world besides its database and transport. Code outside `src/system.ts` takes time,
 * chance and ids only from here, so that a simulator can own them.
 */
export interface Ports {
  readonly clock: Clock
  readonly ids: {
    /** Of a message that is published at this time (milliseconds), by default now: its id tells it. */
    message(publishedAt?: number): MessageId
    owner(): OwnerId
    epoch(): string
  }
  readonly random: { next(): number }
  /** A short, stable fingerprint of a body (P4). Not for secrets. */
  digest(body: string | Uint8Array): string
  readonly log: Log
  readonly telemetry: Telemetry
  /** Keeps the process running until the answer is called: a started Waybill works even where nothing else is open. */
  keepAlive(): () => void
  /** Called at the named points between two durable steps. Does nothing, except in tests, where the process may die here. */
  reached(point: CrashPoint): void
}

/** The gaps between durable steps where a crash would hurt a careless design. Each is killed at in `chaos/`. */
export const crashPointNames = [
  'publish.appended-not-committed',
  'relay.read-not-sent',
  'relay.sent-not-marked',
  'relay.partly-sent',
  'land.received-not-landed',
  'land.landed-not-acknowledged',
  'consume.claimed-not-handled',
  'consume.handled-not-committed',
  'consume.committed-not-advanced',
  'consume.failure-not-recorded',
  'consume.head-done-followers-held',
  'lease.taken-not-read',
  'half.prepared-not-worked',
  'half.worked-not-decided',
] as const

export type CrashPoint = (typeof crashPointNames)[number]
