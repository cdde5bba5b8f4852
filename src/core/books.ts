import type { MessageId } from './ids.ts'
import type { QueueName } from './lease.ts'
import type { SourcePosition } from './message.ts'
import type { State } from './state.ts'

/**
 * The books of one database (P30), in portions: a part of the store's contract.
 *
 * Each portion is one short snapshot, none is held while others write (P15). That is sound up to the watermark: nothing enters below it
 * any more, each message is looked at once, and what is wrong stays wrong. A cursor passes a message only with its disposition, which
 * stays as long as the message does; so a message that its reader has passed and that has none is wrong whenever it is seen. What is
 * handled while the books are read is counted as waiting or as done, by when its portion was read, and never as both or neither.
 */
export interface BookStore {
  /** What there is, and the watermark for all that follows. */
  open(): Promise<BookOpening>
  /** The next portion of a reader's messages, by id. Begin with `after` empty. */
  count(reader: string, watermark: number, after: string): Promise<BookPage>
  /** The next portion of what was published here and has been sent to the transport, by position. Begin with 0. */
  sent(watermark: number, after: number): Promise<SentPage>
  /** Which of these messages this database has no trace of: neither the message, nor a copy, nor a disposition. */
  lacking(ids: readonly MessageId[]): Promise<readonly MessageId[]>
  /** As in the opening, and as of now: what was dropped meanwhile was published before this. */
  keptSince(): Promise<number | null>
  /** What the publisher's database knows of these messages. Unknown ones are left out. */
  describe(ids: readonly MessageId[]): Promise<readonly SentMessage[]>
  /** Of these messages, those that lie here to be carried on. */
  carried(ids: readonly MessageId[]): Promise<readonly CarriedMessage[]>
}

export interface BookOpening {
  readonly epoch: string
  readonly now: number
  readonly watermark: number
  readonly keptSince: number | null
  /** Groups that consume here, and `@relay` and `@land` where they have books to keep. */
  readonly readers: readonly BookReader[]
  /** Whether other databases fetch messages here. */
  readonly carries: boolean
  /** Up to where each source's queues had landed here. */
  readonly landed: readonly (SourcePosition & { readonly topic: string })[]
  /** What has not entered the log or never will, by topic. */
  readonly outside: readonly BookCount[]
}

export interface BookReader {
  readonly name: string
  readonly topics: readonly string[]
  /** Null of `@relay` and `@land`. */
  readonly start: 'oldest' | 'now' | (string & {}) | null
  readonly createdAt: number
}

export interface BookCount {
  readonly topic: string
  readonly state: State
  readonly count: number
}

/** How a message can be wrong in the books of its own database. */
export const bookFaults = ['unaccounted', 'body-lost'] as const
/** `unaccounted`: its reader has passed it, and it is in no state. `body-lost`: it is to be delivered, and its body is gone. */
export type BookFault = (typeof bookFaults)[number]

export interface BookOffender {
  readonly id: MessageId
  readonly key: string | null
  readonly topic: string
  readonly fault: BookFault
}

export interface BookPage {
  readonly counts: readonly BookCount[]
  /** All of this portion. */
  readonly offenders: readonly BookOffender[]
  /** Where the next portion begins; undefined after the last. */
  readonly next: string | undefined
}

export interface SentPage {
  readonly queues: readonly (QueueName & { readonly ids: readonly MessageId[] })[]
  readonly next: number | undefined
}

export interface SentMessage extends QueueName {
  readonly id: MessageId
  readonly key: string | null
  readonly position: number
  readonly publishedAt: number
  readonly eligibleAt: number
  /** Null where the record of the batch was dropped. */
  readonly sentAt: number | null
  /** Whether it was sent again after a redrive, and so out of its order. */
  readonly resent: boolean
  readonly transport: string | null
  readonly proof: string | null
}

export interface CarriedMessage {
  readonly id: MessageId
  readonly queue: number
  readonly position: number
  /** Services that fetch its queue, and of these the ones that have yet to fetch it, and the ones that began after it. */
  readonly services: number
  readonly unfetched: number
  readonly notOwed: number
}
