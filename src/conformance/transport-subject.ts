import type { Ports } from '../core/ports.ts'
import type {
  OpenTransport,
  OutgoingBatch,
  Transport,
  TransportCapabilities,
  TransportContext,
} from '../core/transport.ts'

/** What a transport claims. What it does not claim is shown as skipped. */
export interface TransportClaims {
  readonly can: TransportCapabilities
  /** Whether it knows which database consumes a group, and refuses a second one (P26). */
  readonly registersGroups: boolean
  /** Which hooks of `TransportFaults` the subject has. */
  readonly faults: readonly (keyof TransportFaults)[]
  /** The largest body that it carries. Default: 1 MiB, what Waybill allows by default. */
  readonly bodyBytesMax?: number
  /** How long whatever must happen may take, a redelivery after a crash included. Default 10 s. */
  readonly patienceMs?: number
}

/**
 * A transport to test, made for each promise. Topics, services and groups get names that were never used before, so the carrier
 * behind it may be the same for all.
 */
export interface TransportSubject {
  readonly transport: Transport
  readonly ports: Ports
  /** What Waybill would pass to `open`, on the same ports. Called for each connection. */
  context(service: string): TransportContext
  readonly faults: TransportFaults
  /** Ends one connection as a crash of its process would: what has landed is not acknowledged any more. Default: `close`. */
  vanish?(connection: OpenTransport): Promise<void>
  /** Crashes the carrier itself and starts it again, for the claim `durable`. Default: nothing but closing all connections. */
  crashCarrier?(): Promise<void>
  /** How many timers of the clock port wait, for the promise that `close` leaves none. */
  pendingTimers?(): number
  dispose(): Promise<void>
}

export type OutgoingMessage = OutgoingBatch['messages'][number]

/** What can go wrong on the way to the carrier. */
export interface TransportFaults {
  /** Answers a variant of the message that the carrier refuses for good; may prepare the carrier for it. */
  refusable?(message: OutgoingMessage): Promise<OutgoingMessage>
  /** From now on nothing that is sent reaches the carrier, until the answer is called. */
  cutOff?(): () => void
  /** Only the next request to the carrier fails, without effect: a send that makes several must not go on behind it. */
  breakOff?(): void
  /** The next send takes effect, but its answer gets lost on the way back. */
  swallowAnswer?(): void
}
