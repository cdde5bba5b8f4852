import type { OpenDatabase } from '../core/database.ts'
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

  #count(envelopes: readonly PublishedEnvelope[], appended: readonly Appended[]): void {
    appended.forEach((one, i) =>
      this.#options.ports.telemetry.count(
        one.duplicate ? 'deduplicated' : 'published',
        { topic: envelopes[i]!.topic },
        1,
      ),
    )
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
