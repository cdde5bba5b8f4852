import type { Duration } from './duration.ts'
import type { MessageId } from './ids.ts'

/** What a publisher gives. Only `body` is needed. */
export interface NewMessage<In> {
  readonly body: In
  /** The business key that people search by, such as an order id. At most 255 bytes of UTF-8. */
  readonly key?: string | undefined
  /** Messages with one sharding key stay in order: they share a queue (P18, P19). At most 255 bytes. */
  readonly shardingKey?: string | undefined
  /** Groups may filter by it. At most 255 bytes, without '|'. */
  readonly tag?: string | undefined
  /** At most 64, each at most 1 KiB, name and value together. Names beginning with `waybill-` are Waybill's own. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** A second publish of the same dedup key on this topic within 24 h is a no-op that answers the first one's id (P27). */
  readonly dedupKey?: string | undefined
  /** Deliver it this much later, of any length. It orders at its due time (P18). */
  readonly delay?: Duration | undefined
  /** Deliver it at this time; one that has passed means now. */
  readonly deliverAt?: Date | undefined
  /** RocketMQ's levels, 1 (1 s) to 18 (2 h). */
  readonly delayLevel?: number | undefined
}

/** A message as it lies in a log and travels: validated, body encoded. */
export interface Envelope {
  readonly id: MessageId
  /** The service that published it. */
  readonly service: string
  readonly topic: string
  readonly tag: string | null
  readonly key: string | null
  readonly shardingKey: string | null
  readonly headers: Readonly<Record<string, string>>
  /** JSON text, or bytes of a binary topic. */
  readonly body: string | Uint8Array
  /** Tells bodies of one id apart (P4). May be worked out each time that it is asked for. */
  readonly bodyHash: string
  /** Milliseconds since 1970, the publisher's clock. */
  readonly publishedAt: number
  /** When it became due: at commit, or at its due or decision time. Never changes (P6). */
  readonly eligibleAt: number
}

/** What `publish` hands to the store: an envelope, and the dedup key that guards it. */
export interface PublishedEnvelope extends Envelope {
  readonly dedupKey: string | null
}

/** Where a landed message came from: the position in the log it was read from (P1). */
export interface SourcePosition {
  /** Names the log: `database:<epoch>` or a broker's own name. */
  readonly source: string
  readonly queue: number
  readonly position: number
}

/** A position of a source that is settled, with all before it. */
export interface SettledPosition extends SourcePosition {
  readonly topic: string
  /** Of the cursor that it was read by (P12); absent where the source has none, and then the position only grows. */
  readonly epoch?: string
  /** With an epoch: what must be recorded of the same epoch already, or more. Absent where reading begins: then it is set, whatever was. */
  readonly after?: number
}

/** A message in a log, at its position. */
export interface LoggedMessage extends Envelope {
  readonly queue: number
  readonly position: number
  /** Null where it was published in this database. */
  readonly source: SourcePosition | null
}

/** Adds to the message itself: spreading it into another would work out its hash. */
export function withMore<M extends Envelope, More extends object>(message: M, more: More): M & More {
  return Object.assign(message, more)
}

type Digest = (body: string | Uint8Array) => string

const digestedBy = new WeakMap<Digest, PropertyDescriptor>()

/**
 * Adds the hash of the body, worked out each time that somebody asks for it. One accessor for all messages: one in each object literal
 * would be a function for each, and objects that the engine keeps as dictionaries, two microseconds for each message.
 */
export function withDigest<M extends Omit<Envelope, 'bodyHash'>>(
  message: M,
  digest: Digest,
): M & Pick<Envelope, 'bodyHash'> {
  let digested = digestedBy.get(digest)
  if (!digested) {
    const get = function (this: Envelope): string {
      return digest(this.body)
    }
    digestedBy.set(digest, (digested = { get, enumerable: true, configurable: true }))
  }
  return Object.defineProperty(message, 'bodyHash', digested) as M & Pick<Envelope, 'bodyHash'>
}

/** What a handler gets. */
export interface Message<Body> {
  readonly id: MessageId
  readonly service: string
  readonly topic: string
  readonly tag: string | undefined
  readonly key: string | undefined
  readonly shardingKey: string | undefined
  readonly headers: Readonly<Record<string, string>>
  /** Parsed when it is first read, where the topic has no schema. */
  readonly body: Body
  readonly publishedAt: Date
}
