/** What goes over the wire between the example broker and its clients. README.md beside this file has it in prose. */

export interface NewMessage {
  readonly topic: string
  readonly key?: string
  readonly body: unknown
}

export interface StoredMessage extends NewMessage {
  /** Given by the broker at each publish: a message that is published twice is stored as two messages. */
  readonly id: string
  /** Dense from 0, in the order of acknowledgement to the publishers. */
  readonly offset: number
  readonly storedAtMs: number
}

export interface Delivery {
  readonly deliveryId: string
  /** 1 at first; counts again from 1 after a restart of the broker. */
  readonly attempt: number
  readonly message: StoredMessage
}

export interface ReceiveRequest {
  readonly group: string
  readonly topics: readonly string[]
  readonly max: number
  readonly waitMs: number
}

/** 'oldest', 'now', or the oldest moment that is wanted, in ISO 8601. */
export type StartPosition = string

export interface SubscribeRequest {
  /** One name for all instances that share the messages. */
  readonly reader: string
  /** The groups that it reads for belong to the first owner who says so. */
  readonly owner: string
  readonly topics: readonly {
    readonly name: string
    readonly groups: readonly string[]
    /** Counts only where the topic is new to the reader. */
    readonly from: StartPosition | undefined
  }[]
}

/** Subscribed if it says nothing else; otherwise nothing was created. */
export interface SubscribeAnswer {
  /** A group that has another owner. */
  readonly taken?: string
  /** How many messages has a topic that is new to the reader and came without a start position. */
  readonly older?: number
  readonly topic?: string
  readonly groups?: readonly string[]
}

export interface ReadRequest {
  readonly reader: string
  readonly topic: string
  readonly instance: string
  readonly leaseMs: number
  /** The log that `settledUpTo` is about. */
  readonly source: string
  /** What the reader's own books say; undefined where they say nothing about this log. */
  readonly settledUpTo: number | undefined
}

export interface ReadAnswer {
  /** Names this log. It changes when the broker's files are lost. */
  readonly source: string
  readonly messages: readonly { readonly source: string; readonly position: number; readonly body: unknown }[]
}

export interface GroupHealth {
  /** Never delivered, or given back because its lease ran out. */
  readonly ready: number
  /** Delivered and not acknowledged. */
  readonly leased: number
  readonly acknowledged: number
}

export interface Health {
  readonly ok: true
  readonly published: number
  readonly groups: Readonly<Record<string, GroupHealth>>
}

export interface PublishAnswer {
  readonly ids: readonly string[]
}

export interface ReceiveAnswer {
  readonly deliveries: readonly Delivery[]
}

export interface AcknowledgeAnswer {
  readonly acknowledged: number
}

export interface PendingAnswer {
  readonly keys: readonly string[]
}
