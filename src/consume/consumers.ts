import { WaybillError } from '../core/errors.ts'
import type { StoredSubscription } from '../core/groups.ts'
import type { GroupDeclaration, StartPosition } from '../core/store.ts'
import type { Subscription as TransportSubscription } from '../core/transport.ts'
import type { ConsumeSettings } from './options.ts'
import type { Subscription } from './subscription.ts'

/** The `consume` calls of one instance, by group. */
export class Consumers<Tx> {
  readonly #groups = new Map<string, Subscription<Tx>[]>()

  /** @throws WaybillError `group.options-invalid` for a second handler, or settings that differ within a group */
  add(subscription: Subscription<Tx>): void {
    const { topic, settings } = subscription
    const group = this.#groups.get(settings.group) ?? []
    const refuse = (what: string): never => {
      throw new WaybillError('group.options-invalid', `consumer group ${settings.group}: ${what}`, {
        group: settings.group,
        topic: topic.name,
      })
    }
    if (group.some((other) => other.topic.name === topic.name))
      refuse(`topic ${topic.name} has a handler already`)
    const first = group[0]?.settings
    if (
      first &&
      (first.ordered !== settings.ordered ||
        first.onFailure !== settings.onFailure ||
        first.subscriptionVersion !== settings.subscriptionVersion ||
        first.concurrency !== settings.concurrency ||
        !sameDependencies(first, settings))
    ) {
      refuse(
        'order, onFailure, subscriptionVersion, concurrency and dependencies must be the same for all its topics',
      )
    }
    this.#groups.set(settings.group, [...group, subscription])
  }

  get groups(): readonly (readonly Subscription<Tx>[])[] {
    return [...this.#groups.values()]
  }

  /** The groups as the store keeps them. */
  declarations(): readonly GroupDeclaration[] {
    return this.groups.map((subscriptions) => {
      const { settings } = subscriptions[0]!
      return {
        name: settings.group,
        topics: subscriptions.map(({ topic }) => ({ name: topic.name, queues: topic.queues })),
        tags: Object.fromEntries(
          subscriptions.map(({ topic, settings: { tagFilter } }) => [topic.name, tagFilter]),
        ),
        from: subscriptions.find((subscription) => subscription.settings.from !== undefined)?.settings.from,
        subscriptionVersion: settings.subscriptionVersion,
        ordered: settings.ordered,
        onFailure: settings.onFailure,
      }
    })
  }

  /**
   * What to ask the transport for: each topic once, from the earliest start that one of its groups wants. `from` counts only at a
   * group's creation (P26): what a group has read before is asked for from the oldest, in case the carrier has forgotten this service.
   */
  topics(before: readonly StoredSubscription[]): TransportSubscription['topics'] {
    const topics = new Map<string, TransportSubscription['topics'][number]>()
    for (const { topic, settings } of this.groups.flat()) {
      const isKnown = before.some(
        ({ name, topics: read }) => name === settings.group && read.some((one) => one.name === topic.name),
      )
      const from = isKnown ? 'oldest' : settings.from
      const other = topics.get(topic.name)
      topics.set(topic.name, {
        name: topic.name,
        queues: topic.queues,
        groups: [...(other?.groups ?? []), settings.group],
        from: other ? earlier(other.from, from) : from,
      })
    }
    return [...topics.values()]
  }
}

function sameDependencies(a: ConsumeSettings, b: ConsumeSettings): boolean {
  return (
    a.dependencies.length === b.dependencies.length &&
    a.dependencies.every((dependency) => b.dependencies.includes(dependency))
  )
}

function earlier(a: StartPosition | undefined, b: StartPosition | undefined): StartPosition | undefined {
  if (a === undefined || b === undefined) return undefined
  if (a === 'oldest' || b === 'oldest') return 'oldest'
  if (a === 'now') return b
  if (b === 'now') return a
  return a < b ? a : b
}
