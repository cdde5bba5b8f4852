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
