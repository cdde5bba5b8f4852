import type { QueueName } from '../../core/store.ts'
import type { PgRow } from './driver.ts'

/** Of a window with no more messages than this, the statement that puts them into sequence tells them. */
export const toldMax = 8
/**
 * A longer one, by its body and headers, is read for itself: the answer is sent before the window is committed, and a client that
 * stands still must not keep the server from committing.
 */
export const toldBytesMax = 2_048

/** A message by its columns, in the order in which `waybill_sequence` tells them. */
type ToldMessage = readonly [
  topic: string,
  queue: number,
  pos: number,
  id: string,
  service: string,
  tag: string | null,
  key: string | null,
  shardingKey: string | null,
  headers: string | null,
  body: string | null,
  publishedAt: number,
  eligibleAt: number,
]

/**
 * What one window told of its messages. It saves whoever waited for the window the statement that reads them. Only for such a reader it
 * is as good as reading: nobody can have done anything about places that were given while it held the lease. Afterwards somebody may.
 */
export class Told {
  readonly #messages: readonly ToldMessage[]

  constructor(json: string | null) {
    this.#messages = json === null ? [] : (JSON.parse(json) as ToldMessage[])
  }

  /** All of a queue's messages after a place up to another, as rows; undefined if one of them has to be read. */
  rowsOf({ topic, queue }: QueueName, after: number, end: number): readonly PgRow[] | undefined {
    const rows = this.#messages
      .filter((message) => message[0] === topic && message[1] === queue && message[2] > after)
      .toSorted((a, b) => a[2] - b[2])
      .map(toRow)
    const isWhole = rows.length === end - after && rows.every(({ body }) => body !== null)
    return isWhole ? rows : undefined
  }
}

function toRow(message: ToldMessage): PgRow {
  const [, , pos, id, service, tag, key, shardingKey, headers, body, publishedAt, eligibleAt] = message
  return {
    pos,
    id,
    service,
    tag,
    key,
    sharding_key: shardingKey,
    headers,
    body,
    body_binary: null,
    published_at: publishedAt,
    eligible_at: eligibleAt,
    source: null,
  }
}
