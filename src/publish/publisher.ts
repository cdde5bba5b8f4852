import type { OpenDatabase } from '../core/database.ts'
import { WaybillError, isWaybillError } from '../core/errors.ts'
import type { MessageId } from '../core/ids.ts'
import { type MaybePromise, chain, isPromise } from '../core/maybe-promise.ts'
import type { PublishedEnvelope } from '../core/message.ts'
import type { Appended, TopicDeclaration } from '../core/store.ts'
import type { Addressed } from '../core/topic.ts'
import { type ComposeOptions, compose } from './compose.ts'

/**
 * Writes messages into the log inside the caller's transaction: the local message table. On a synchronous handle everything here
 * happens, and throws, before it returns.
 */
export class Publisher<Tx> {
  readonly #database: OpenDatabase<Tx>
  readonly #options: ComposeOptions

  constructor(database: OpenDatabase<Tx>, options: ComposeOptions) {
    this.#database = database
    this.#options = options
  }

  /** @throws what `compose`, `assertInTransaction` and `Store.append` throw; nothing is written then */
  publish(tx: Tx, messages: readonly Addressed[]): MaybePromise<MessageId[]> {
    this.#database.assertInTransaction(tx)
    if (messages.length === 0) return []
    return chain(all(messages.map((message) => compose(message, this.#options))), (envelopes) =>
      chain(this.#database.store.append(tx, envelopes, topicsOf(messages)), (appended) => {
        this.#options.ports.reached('publish.appended-not-committed')
        this.#count(envelopes, appended)
        return appended.map((one) => one.id)
      }),
    )
  }

  /** @throws WaybillError `publish.no-transaction`, `publish.handle-unknown` */
  cancel(
    tx: Tx,
    topic: string,
    which: { readonly key: string } | { readonly id: MessageId },
    because = 'cancelled by its publisher',
  ): MaybePromise<'cancelled' | 'too-late'> {
    this.#database.assertInTransaction(tx)
    const { delayed } = this.#database.store
    const cancelled = delayed.cancel(tx, { service: this.#options.service, topic, ...which }, because)
    return chain(cancelled, (ids) => (ids.length > 0 ? 'cancelled' : 'too-late'))
  }

  #count(envelopes: readonly PublishedEnvelope[], appended: readonly Appended[]): void {
    const counts = new Map<string, { published: number; deduplicated: number }>()
    for (const [i, { duplicate }] of appended.entries()) {
      const { topic } = envelopes[i]!
      let count = counts.get(topic)
      if (!count) counts.set(topic, (count = { published: 0, deduplicated: 0 }))
      count[duplicate ? 'deduplicated' : 'published']++
    }
    const { telemetry } = this.#options.ports
    for (const [topic, { published, deduplicated }] of counts) {
      telemetry.count('published', { topic }, published)
      telemetry.count('deduplicated', { topic }, deduplicated)
    }
  }
}

function all<T>(values: readonly MaybePromise<T>[]): MaybePromise<readonly T[]> {
  return values.some(isPromise) ? Promise.all(values) : (values as readonly T[])
}

function topicsOf(messages: readonly Addressed[]): readonly TopicDeclaration[] {
  return [
    ...new Map(
      messages.map(({ topic }) => [topic.name, { name: topic.name, queues: topic.queues }]),
    ).values(),
  ]
}

/** A COMMIT whose outcome is open names what it may have published; any other error stays as it is. */
export function withIdsIfUnknown(error: unknown, published: readonly MessageId[]): unknown {
  if (!isWaybillError(error, 'store.commit-unknown')) return error
  const facts = { ...error.facts, messages: published }
  return new WaybillError(error.code, error.reason, facts, { cause: error })
}
