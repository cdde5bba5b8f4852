import { type Blame, DependencyDown } from '../core/dependencies.ts'
import { WaybillError, invariant, reasonOf } from '../core/errors.ts'
import type { HeldQueue } from '../core/log-reading.ts'
import type { LoggedMessage } from '../core/message.ts'
import type { Counter } from '../core/telemetry.ts'
import type { Settlement } from '../core/store.ts'
import { type Delivery, runEffect } from './effect.ts'
import { heldBehind, isHandlersOwn, postponed, settlementOf } from './failure.ts'
import type { DeliveryParts } from './parts.ts'
import type { Subscription } from './subscription.ts'

/**
 * Delivers messages of one queue until each has a disposition: done with its effect, or settled without one.
 * A failing batch is split in halves, run in order, until the culprit is alone; only then is anything charged (P8).
 */
export class Deliverer<Tx> {
  readonly #parts: DeliveryParts<Tx>
  readonly #subscription: Subscription<Tx>
  readonly #held: HeldQueue
  /** Ordered groups: keys that failed since the window was read. Their later messages wait behind them (P21). */
  readonly failedKeys = new Set<string>()
  /** Whether an effect's transaction moved the cursor to the end of the window. */
  hasAdvanced = false

  constructor(parts: DeliveryParts<Tx>, subscription: Subscription<Tx>, held: HeldQueue) {
    this.#parts = parts
    this.#subscription = subscription
    this.#held = held
  }

  async deliver(delivery: Delivery): Promise<void> {
    const { messages } = delivery
    if (messages.length === 0) return
    const effect = await runEffect(this.#parts, this.#subscription, this.#held, delivery)
    if (effect.result === 'failed') await this.#failed(effect.error, delivery)
    else if (effect.result === 'taken') await this.#deliverRest(delivery)
    else {
      this.#parts.dependencies?.handled(messages.map((message) => message.id))
      this.count(effect.result === 'done' ? 'handled' : 'discarded', messages.length)
      this.hasAdvanced ||= delivery.advanceTo !== undefined
    }
  }

  /** Whether the message must wait behind an earlier one of its key that failed in this window. */
  waits(message: LoggedMessage): boolean {
    return (
      this.#subscription.settings.ordered &&
      message.shardingKey !== null &&
      this.failedKeys.has(message.shardingKey)
    )
  }

  count(counter: Counter, by: number): void {
    const { topic, settings } = this.#subscription
    this.#parts.ports.telemetry.count(counter, { topic: topic.name, group: settings.group }, by)
  }

  async settle(settlements: readonly Settlement[], advanceTo?: number): Promise<void> {
    await this.#parts.database.store.settle(this.#held.lease, settlements, advanceTo)
    for (const { state } of settlements) this.count(counterOf[state], 1)
  }

  /** Whoever has a receipt's id but not its body is another message: it was not handled, and must not pass for it (P4). */
  async parkCollisions(settled: readonly LoggedMessage[]): Promise<void> {
    const { store } = this.#parts.database
    const collided = await store.parkCollisions(this.#held.lease, settled)
    if (collided.length === 0) return
    this.#parts.ports.log.error(
      { group: this.#subscription.settings.group, ids: collided },
      'messages with the ids of others were dead-lettered (receipt.id-collision)',
    )
  }

  /** A dependency's failure charges no message, alone or in a batch; any other splits the batch to find the culprit. */
  async #failed(error: unknown, delivery: Delivery): Promise<void> {
    const { dependency, retryInMs } = await this.#blame(error, delivery)
    if (dependency !== null && retryInMs !== null) {
      this.#assertHeld()
      const dueAt = this.#parts.ports.clock.now() + retryInMs
      const { settlements, keys } = postponed(delivery, this.#subscription.settings, {
        dependency,
        dueAt,
        because: reasonOf(error),
      })
      this.#parts.ports.reached('consume.failure-not-recorded')
      await this.settle(settlements)
      for (const key of keys) this.failedKeys.add(key)
    } else if (delivery.messages.length === 1) await this.#recordFailure(error, delivery, dependency)
    else await this.#split(delivery)
  }

  async #blame(error: unknown, delivery: Delivery): Promise<Blame> {
    const own = { dependency: null, retryInMs: null }
    if (isHandlersOwn(error)) return own
    const { dependencies } = this.#parts
    if (dependencies)
      return dependencies.judge(
        error,
        delivery.messages.map((message) => message.id),
      )
    return error instanceof DependencyDown ? { ...own, dependency: error.dependency } : own
  }

  #assertHeld(): void {
    if (!this.#held.lost.aborted) return
    throw new WaybillError(
      'store.lease-lost',
      'the lease was lost before a failure could be recorded; the message will be delivered again',
    )
  }

  async #split(delivery: Delivery): Promise<void> {
    const middle = delivery.messages.length >> 1
    await this.deliver({ ...delivery, messages: delivery.messages.slice(0, middle), advanceTo: undefined })
    const rest = delivery.messages.slice(middle)
    const held = rest.filter((message) => this.waits(message))
    await this.deliver({
      ...delivery,
      messages: rest.filter((message) => !this.waits(message)),
      advanceTo: undefined,
    })
    if (held.length > 0) await this.settle(held.map(heldBehind))
  }

  /** A duplicate met its receipt, or another instance was here before: what has a disposition is left alone (P3). */
  async #deliverRest(delivery: Delivery): Promise<void> {
    const { store } = this.#parts.database
    const settled = await store.dispositions(
      this.#held.lease,
      delivery.messages.map((message) => message.id),
    )
    const isOpen = (message: LoggedMessage): boolean => {
      const state = settled.get(message.id)
      return state === undefined || (delivery.from !== 'unclaimed' && state === delivery.from)
    }
    const rest = delivery.messages.filter(isOpen)
    invariant(
      rest.length < delivery.messages.length,
      'a claim failed though every message was free and the fence held',
    )
    await this.parkCollisions(delivery.messages.filter((message) => !rest.includes(message)))
    this.count('suppressed', delivery.messages.length - rest.length)
    await this.deliver({ ...delivery, messages: rest, advanceTo: undefined })
  }

  async #recordFailure(error: unknown, delivery: Delivery, dependency: string | null): Promise<void> {
    const message = delivery.messages[0]!
    const { settings } = this.#subscription
    const settlement = {
      ...settlementOf(error, message, delivery.attempts, settings, this.#parts.ports),
      ...(dependency === null ? {} : { dependency }),
    }
    this.#parts.ports.reached('consume.failure-not-recorded')
    this.#assertHeld()
    await this.settle([settlement])
    if (message.shardingKey !== null) this.failedKeys.add(message.shardingKey)
    const { log } = this.#parts.ports
    const facts = {
      err: error,
      group: settings.group,
      topic: message.topic,
      id: message.id,
      key: message.key,
      attempts: settlement.attempts,
    }
    if (settlement.state === 'dead')
      log.error(facts, `a message was dead-lettered (${settlement.cause ?? ''})`)
    else log.warn(facts, 'a handler failed; the message is tried again')
  }
}

const counterOf = {
  retrying: 'retried',
  held: 'held',
  dead: 'dead_lettered',
  discarded: 'discarded',
  filtered: 'filtered',
  done: 'handled',
} as const
