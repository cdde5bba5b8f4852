import type { HeldQueue, QueueReader } from '../core/log-reading.ts'
import type { DueMessage, QueueName, ReadMessage, Settlement } from '../core/store.ts'
import { WindowSize } from '../core/window-size.ts'
import { admitted } from './admission.ts'
import { Deliverer } from './deliverer.ts'
import { heldBehind } from './failure.ts'
import { Limiter } from './limiter.ts'
import type { GroupReaderParts } from './parts.ts'
import type { Subscription } from './subscription.ts'
import { Suspects } from './suspects.ts'

const windowMax = 100
/** Of a group that takes batches, so many of them: each window costs a database that is elsewhere some round trips. */
const batchesMax = 10
const batchWindowMax = 1_000
const dueMax = 50

/**
 * Reads a group's queues: retried messages that are due, then the log, in turns, so that neither starves the other. The cursor
 * passes a message only once its disposition is durable (P2).
 */
export class GroupReader<Tx> implements QueueReader {
  readonly reader: string
  readonly version: number
  readonly runningMax: number
  readonly #windowMax: number
  readonly #parts: GroupReaderParts<Tx>
  readonly #subscriptions: ReadonlyMap<string, Subscription<Tx>>
  readonly #limiter: Limiter

  constructor(parts: GroupReaderParts<Tx>, subscriptions: readonly Subscription<Tx>[]) {
    const { settings } = subscriptions[0]!
    this.#parts = parts
    this.#subscriptions = new Map(
      subscriptions.map((subscription) => [subscription.topic.name, subscription]),
    )
    this.#limiter = new Limiter(settings.concurrency)
    this.reader = settings.group
    this.version = settings.subscriptionVersion
    const batchMax = Math.max(1, ...subscriptions.map((subscription) => subscription.settings.batch ?? 1))
    // Ordered groups and batches run one handler per queue; others start in order, up to their concurrency.
    this.runningMax = settings.ordered || batchMax > 1 ? batchMax : settings.concurrency
    this.#windowMax = Math.max(windowMax, batchMax, Math.min(batchMax * batchesMax, batchWindowMax))
  }

  async queues(): Promise<readonly QueueName[]> {
    return [...this.#subscriptions.values()].flatMap(({ topic }) =>
      Array.from({ length: topic.queues }, (_, queue) => ({ topic: topic.name, queue })),
    )
  }

  async serve(held: HeldQueue): Promise<void> {
    const { store } = this.#parts.database
    const subscription = this.#subscriptions.get(held.lease.topic)!
    const suspects = new Suspects(this.#parts, subscription, held, (message) =>
      this.#withoutHandler(subscription, message),
    )
    await this.#whilePaused(held)
    await suspects.runFromLog()
    const { batch } = subscription.settings
    const size = new WindowSize(
      this.#windowMax,
      batch === undefined ? { least: Math.min(this.#windowMax, this.runningMax) } : { multipleOf: batch },
    )
    const dueSize = new WindowSize(dueMax)
    for (; !held.draining.aborted;) {
      const mark = held.mark()
      // At once: on a database that is elsewhere each is a round trip of its own.
      const [{ dueAt, isPaused }, next] = await Promise.all([
        held.outlook(),
        store.read(held.lease, held.position, size.limit),
      ])
      if (isPaused) {
        await this.#whilePaused(held)
        continue
      }
      const now = this.#parts.ports.clock.now()
      const due = dueAt !== undefined && dueAt <= now ? await store.due(held.lease, now, dueSize.limit) : []
      dueSize.saw(due)
      await this.#deliverDue(subscription, held, suspects, due)
      if (held.draining.aborted) return
      // What was due may have freed or held keys since.
      const window = due.length === 0 ? next : await store.read(held.lease, held.position, size.limit)
      size.saw(window)
      const running = window.findIndex((message) => message.disposition === 'running')
      if (running === 0) await suspects.runFirst(window[0]!)
      else if (window.length > 0)
        await this.#deliverWindow(subscription, held, running < 0 ? window : window.slice(0, running))
      else if (due.length === 0) {
        await held.idle(mark, dueAt)
        continue
      }
      await held.breathe()
    }
  }

  /** Waits while an operator holds the group. */
  async #whilePaused(held: HeldQueue): Promise<void> {
    for (; !held.draining.aborted;) {
      const mark = held.mark()
      if (!(await held.outlook()).isPaused) return
      await held.idle(mark)
    }
  }

  /** Messages that left the log's path. In ordered groups only heads are due; their followers are held (P21). */
  async #deliverDue(
    subscription: Subscription<Tx>,
    held: HeldQueue,
    suspects: Suspects<Tx>,
    due: readonly DueMessage[],
  ): Promise<void> {
    const deliverer = new Deliverer(this.#parts, subscription, held)
    for (const message of due) {
      if (held.draining.aborted) return
      if (suspects.includesDue(message)) await suspects.runDue(message)
      else {
        const { attempts } = message
        const deliver = (): Promise<void> =>
          deliverer.deliver({ messages: [message], from: 'retrying', attempts })
        await this.#inTurn(held, () => this.#begin(held, deliver))
      }
    }
  }

  /** Whoever is before it may wait for a dependency, and so for ever: then it does not wait once the queue is to be left. */
  #inTurn(held: HeldQueue, work: () => Promise<void>): Promise<void> {
    return this.#limiter.run(this.#parts.dependencies && held.draining, work)
  }

  /** Begins once the group's dependencies and the suspects of other queues let it; not at all if the queue is to be left first. */
  async #begin(held: HeldQueue, work: () => Promise<void>): Promise<void> {
    await admitted(this.#parts.dependencies, held, () => this.#parts.gate.together(work))
  }

  async #deliverWindow(
    subscription: Subscription<Tx>,
    held: HeldQueue,
    window: readonly ReadMessage[],
  ): Promise<void> {
    const deliverer = new Deliverer(this.#parts, subscription, held)
    const end = window.at(-1)!.position
    const settlements: Settlement[] = []
    const open: ReadMessage[] = []
    for (const message of window) {
      if (message.disposition !== null) continue
      const settlement = this.#withoutHandler(subscription, message)
      if (settlement) settlements.push(settlement)
      else open.push(message)
    }
    const settled = window.filter((message) => message.disposition !== null)
    if (settled.length > 0) await deliverer.parkCollisions(settled)
    // First, so that after a crash only what was running is suspect: the next messages without a disposition (P17).
    if (settlements.length > 0) await deliverer.settle(settlements)
    const begun = await this.#deliverOpen(subscription, held, deliverer, open, end)
    this.#parts.ports.reached('consume.committed-not-advanced')
    const passed = begun < open.length ? open[begun]!.position - 1 : end
    if (!deliverer.hasAdvanced) await this.#parts.database.store.advance(held.lease, passed)
    held.position = passed
  }

  /** Runs the handlers. Answers how many messages, from the first, were begun: a drain stops in between. */
  async #deliverOpen(
    subscription: Subscription<Tx>,
    held: HeldQueue,
    deliverer: Deliverer<Tx>,
    open: readonly ReadMessage[],
    end: number,
  ): Promise<number> {
    const { batch, ordered } = subscription.settings
    const chunk = batch ?? 1
    const chunks = Array.from({ length: Math.ceil(open.length / chunk) }, (_, i) =>
      open.slice(i * chunk, (i + 1) * chunk),
    )
    let begun = 0
    const run = async (messages: readonly ReadMessage[], isLast: boolean): Promise<void> => {
      if (held.draining.aborted) return
      await this.#begin(held, async () => {
        begun += messages.length
        const waiting = messages.filter((message) => deliverer.waits(message))
        if (waiting.length > 0) await deliverer.settle(waiting.map(heldBehind))
        const free = waiting.length === 0 ? messages : messages.filter((message) => !deliverer.waits(message))
        // Saves a transaction: with the last of the window the effect's own can move the cursor.
        const advanceTo = isLast ? end : undefined
        await deliverer.deliver({ messages: free, from: 'unclaimed', attempts: 0, advanceTo })
      })
    }
    const isSequential = ordered || batch !== undefined
    if (!isSequential)
      await all(chunks.map((messages) => this.#inTurn(held, () => run(messages, chunks.length === 1))))
    else
      for (const [i, messages] of chunks.entries())
        await this.#inTurn(held, () => run(messages, i === chunks.length - 1))
    return begun
  }

  /**
   * What needs no handler, at least now: filtered by tag, held behind another of its key, or older than the receipts, which could
   * not tell whether it ran before (P6). The filter comes first: what is held goes to the handler later without being asked again.
   */
  #withoutHandler({ settings }: Subscription<Tx>, message: ReadMessage): Settlement | undefined {
    if (settings.tags && !(message.tag !== null && settings.tags.has(message.tag)))
      return { message, state: 'filtered', attempts: 0, because: `tag is not ${settings.tagFilter}` }
    if (message.blocked) return heldBehind(message)
    if (this.#parts.ports.clock.now() - message.eligibleAt <= this.#parts.receiptHorizonMs) return undefined
    return {
      message,
      state: 'dead',
      attempts: 0,
      cause: 'receipt.older-than-horizon',
      because: 'older than receipts are kept, so whether it took effect before cannot be told',
      releaseFollower: settings.ordered,
    }
  }
}

/** Waits for all, also when one fails, then throws the first failure: none may go on behind the reader's back. */
async function all(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
