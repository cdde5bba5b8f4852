import { type OpenDatabase, passingFailures } from '../core/database.ts'
import { WaybillError, isWaybillError } from '../core/errors.ts'
import type { HeldQueue } from '../core/log-reading.ts'
import { chain, isPromise } from '../core/maybe-promise.ts'
import type { LoggedMessage, Message } from '../core/message.ts'
import { type Outcome, isOutcome } from '../core/outcome.ts'
import type { Ports } from '../core/ports.ts'
import type { ClaimFrom } from '../core/store.ts'
import { decodeBody } from '../core/topic.ts'
import { toMessage, toUnreadMessage } from './delivered.ts'
import type { Context } from './handler.ts'
import type { Subscription } from './subscription.ts'

/** Serialisation failures, dead-locks and a busy file re-run the handler at once, without an attempt, this often (P7). */
const rerunsMax = 5

export interface Delivery {
  readonly messages: readonly LoggedMessage[]
  readonly from: ClaimFrom
  /** Deliveries that failed before. */
  readonly attempts: number
  /** Moves the cursor in the effect transaction, once everything before is settled. */
  readonly advanceTo?: number | undefined
}

export type EffectResult =
  /** `taken`: some of the messages have a disposition already; nothing was written. */
  { readonly result: 'done' | 'discarded' | 'taken' } | { readonly result: 'failed'; readonly error: unknown }

export interface EffectParts<Tx> {
  readonly database: OpenDatabase<Tx>
  readonly ports: Ports
  readonly context: (tx: Tx, signal: AbortSignal, group: string, delivery: Delivery) => Context<Tx>
}

/**
 * Runs a handler and its receipts in one transaction: claim, handler, commit (P3, P7).
 * @throws WaybillError of `passingFailures`: nothing was written and nobody is to blame
 */
export async function runEffect<Tx>(
  parts: EffectParts<Tx>,
  subscription: Subscription<Tx>,
  held: HeldQueue,
  delivery: Delivery,
): Promise<EffectResult> {
  let messages: readonly Message<unknown>[]
  try {
    messages = await decode(subscription, delivery.messages)
  } catch (error) {
    return { result: 'failed', error }
  }
  for (let reruns = 0; ; reruns++) {
    try {
      return await attempt(parts, subscription, held, delivery, messages)
    } catch (error) {
      if (held.lost.aborted)
        throw new WaybillError(
          'store.lease-lost',
          'the lease was lost while a handler ran; its transaction was rolled back',
          {},
          { cause: error },
        )
      if (error instanceof Taken) return { result: 'taken' }
      if (isWaybillError(error, 'store.busy') && reruns < rerunsMax) continue
      if (isWaybillError(error, ...passingFailures)) throw error
      return { result: 'failed', error }
    }
  }
}

/** One after the other: a promise for each message would cost more than reading it, and most schemas answer at once. */
async function decode<Tx>(
  { topic }: Subscription<Tx>,
  logged: readonly LoggedMessage[],
): Promise<readonly Message<unknown>[]> {
  const messages: Message<unknown>[] = []
  for (const message of logged) {
    if (!topic.schema && topic.encoding === 'json' && typeof message.body === 'string') {
      messages.push(toUnreadMessage(message))
      continue
    }
    const body = decodeBody(topic, message.body)
    messages.push(toMessage(message, isPromise(body) ? await body : body))
  }
  return messages
}

async function attempt<Tx>(
  parts: EffectParts<Tx>,
  subscription: Subscription<Tx>,
  held: HeldQueue,
  delivery: Delivery,
  messages: readonly Message<unknown>[],
): Promise<EffectResult> {
  const { store } = parts.database
  const { lease } = held
  const outcome = await parts.database.transaction<Outcome | undefined>({
    opened: (tx) =>
      chain(store.claim(tx, lease, delivery.messages, delivery.from), (claimed) => {
        if (claimed.length !== delivery.messages.length) throw new Taken()
        parts.ports.reached('consume.claimed-not-handled')
      }),
    work: async (tx) =>
      accept(
        await subscription.handle(
          messages,
          parts.context(tx, held.lost, subscription.settings.group, delivery),
        ),
      ),
    closing: (tx, accepted) => {
      // The time to stop was up, or the lease is gone: what the handler did late must not commit.
      if (held.lost.aborted) throw new WaybillError('store.lease-lost', 'the handler finished too late')
      return chain(finish(parts, subscription, held, delivery, tx, accepted), () =>
        parts.ports.reached('consume.handled-not-committed'),
      )
    },
  })
  if (keyToRelease(subscription, delivery) !== undefined)
    parts.ports.reached('consume.head-done-followers-held')
  return { result: outcome ? 'discarded' : 'done' }
}

function finish<Tx>(
  parts: EffectParts<Tx>,
  subscription: Subscription<Tx>,
  { lease }: HeldQueue,
  delivery: Delivery,
  tx: Tx,
  outcome: Outcome | undefined,
): void | Promise<void> {
  const { store } = parts.database
  const steps: (() => void | Promise<void>)[] = []
  if (outcome)
    for (const { id } of delivery.messages)
      steps.push(() => store.markDiscarded(tx, lease, id, outcome.because))
  const key = keyToRelease(subscription, delivery)
  if (key !== undefined) steps.push(() => store.releaseFollower(tx, lease, key))
  const { advanceTo } = delivery
  if (advanceTo !== undefined) steps.push(() => store.advanceIn(tx, lease, advanceTo))
  return steps.reduce<void | Promise<void>>((before, step) => chain(before, step), undefined)
}

/** Ordered groups: whoever left the log's path may have followers, which its own transaction must free (P21). */
function keyToRelease<Tx>({ settings }: Subscription<Tx>, delivery: Delivery): string | undefined {
  if (!settings.ordered || delivery.from === 'unclaimed') return undefined
  return delivery.messages[0]!.shardingKey ?? undefined
}

/** Only nothing and `discard` commit; everything else must roll back first, so it is thrown (P7). */
function accept(answer: unknown): Outcome | undefined {
  if (answer === undefined) return undefined
  if (!isOutcome(answer)) {
    throw new WaybillError(
      'handler.unknown-outcome',
      'a handler must return nothing, or what retry(), deadLetter() or discard() answer; it returned something else, and its transaction was rolled back',
    )
  }
  if (answer.outcome === 'discard') return answer
  throw new OutcomeThrown(answer)
}

class Taken extends Error {}

/** Carries a handler's outcome out of a transaction that has to roll back. */
export class OutcomeThrown extends Error {
  readonly outcome: Outcome

  constructor(outcome: Outcome) {
    super(outcome.because)
    this.outcome = outcome
  }
}
