import type { OpenDatabase } from '../core/database.ts'
import { WaybillError, isWaybillError, reasonOf } from '../core/errors.ts'
import type { Decision, HalfAnswer, StoredHalf } from '../core/half.ts'
import type { MessageId } from '../core/ids.ts'
import type { MaybePromise } from '../core/maybe-promise.ts'
import type { NewMessage } from '../core/message.ts'
import type { Topic } from '../core/topic.ts'
import { type ComposeOptions, compose } from './compose.ts'
import { type HalfSettings, halfSettingsOf } from './half-settings.ts'

/** A half message as the local work and its checks see it: the body is at hand, so that a check can redo the write. */
export interface Half<In> {
  readonly id: MessageId
  readonly topic: string
  readonly key: string | undefined
  readonly tag: string | undefined
  readonly shardingKey: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body: In
  readonly publishedAt: Date
  /** Checks answered so far: 0 in the local work. */
  readonly checks: number
}

/** What became of a half message so far. `pending`: its dedup key is held by one that is undecided (P27). */
export interface HalfResult {
  readonly id: MessageId
  readonly decision: HalfAnswer | 'pending'
}

export type HalfWork<In> = (half: Half<In>) => Promise<HalfAnswer>

/** A topic whose half messages this instance can answer for. */
export interface CheckBack {
  readonly topic: Topic<never, unknown>
  readonly settings: HalfSettings
  readonly check: HalfWork<unknown>
}

/**
 * Half messages: written before the local work, invisible until they are decided, checked back while nobody has (P23 to P25).
 * Written to Waybill's own database, so a broker that is down never blocks them, and one that cannot be written is known before
 * the local work has begun.
 */
export class HalfMessages<Tx> {
  readonly #database: OpenDatabase<Tx>
  readonly #options: ComposeOptions
  readonly #checkBacks = new Map<string, CheckBack>()

  constructor(database: OpenDatabase<Tx>, options: ComposeOptions) {
    this.#database = database
    this.#options = options
  }

  get checkBacks(): ReadonlyMap<string, CheckBack> {
    return this.#checkBacks
  }

  /** @throws WaybillError `config.invalid` for a second check of a topic */
  onCheckBack(topic: Topic<never, unknown>, check: HalfWork<unknown>): void {
    if (typeof check !== 'function' || this.#checkBacks.has(topic.name)) {
      throw new WaybillError('config.invalid', `topic ${topic.name} needs exactly one check-back function`, {
        topic: topic.name,
      })
    }
    this.#checkBacks.set(topic.name, { topic, settings: halfSettingsOf(topic.name, topic.half), check })
  }

  async publish<In>(
    topic: Topic<In, unknown>,
    message: NewMessage<In>,
    work: HalfWork<In>,
  ): Promise<HalfResult> {
    const checkBack = this.#checkBacks.get(topic.name)
    if (!checkBack) {
      throw new WaybillError(
        'half.no-check-back',
        `topic ${topic.name} has no check-back: if this process died now, nobody could say what became of the message; call onCheckBack first`,
        { topic: topic.name },
      )
    }
    const { ports } = this.#options
    const { halves } = this.#database.store
    const envelope = await compose(topic.message(message), this.#options)
    const { firstCheckMs } = checkBack.settings
    const prepared = await halves.prepare(
      envelope,
      { name: topic.name, queues: topic.queues },
      ports.clock.now() + firstCheckMs,
    )
    if (prepared.duplicate) return { id: prepared.id, decision: prepared.pending ? 'pending' : 'commit' }
    ports.reached('half.prepared-not-worked')
    const answer = await this.#work(prepared.id, firstCheckMs, () =>
      work({ ...asHalf<In>(envelope, topic), checks: 0 }),
    )
    ports.reached('half.worked-not-decided')
    if (answer !== 'unknown') await halves.decide(prepared.id, answer, 'producer', null)
    return { id: prepared.id, decision: answer }
  }

  /** Decides inside the caller's business transaction, which must fail if somebody decided otherwise (P23). */
  decideIn(tx: Tx, id: MessageId, decision: Decision): MaybePromise<void> {
    checkDecision(decision)
    this.#database.assertInTransaction(tx)
    return this.#database.store.halves.decideIn(tx, id, decision, 'producer', null)
  }

  /** No check while the local work's heart beats: it may take longer than the first check's time (P23). */
  async #work(id: MessageId, firstCheckMs: number, work: () => Promise<HalfAnswer>): Promise<HalfAnswer> {
    const { clock, log } = this.#options.ports
    const { halves } = this.#database.store
    let cancel = (): void => {}
    const beat = (): void => {
      cancel = clock.after(Math.floor(firstCheckMs / 3), () => {
        halves
          .postpone(id, clock.now() + firstCheckMs)
          .catch((error: unknown) =>
            log.warn({ err: error, id }, `a half message's heartbeat failed: ${reasonOf(error)}`),
          )
        beat()
      })
    }
    beat()
    try {
      const answer = await work()
      checkAnswer(answer)
      return answer
    } finally {
      cancel()
    }
  }
}

/** What a check or the local work may answer. Anything else must not pass for a decision. */
export function checkAnswer(answer: unknown): asserts answer is HalfAnswer {
  if (answer === 'commit' || answer === 'rollback' || answer === 'unknown') return
  throw new WaybillError(
    'handler.unknown-outcome',
    "the local work and the check of a half message must answer 'commit', 'rollback' or 'unknown'",
  )
}

function checkDecision(decision: unknown): asserts decision is Decision {
  if (decision === 'commit' || decision === 'rollback') return
  throw new WaybillError('config.invalid', "a decision is 'commit' or 'rollback'")
}

export function asHalf<In>(
  stored: Omit<StoredHalf, 'state' | 'checks' | 'failures' | 'decidedAt' | 'decidedBy' | 'because'>,
  topic: Topic<In, unknown> | Topic<never, unknown>,
): Omit<Half<In>, 'checks'> {
  return {
    id: stored.id,
    topic: stored.topic,
    key: stored.key ?? undefined,
    tag: stored.tag ?? undefined,
    shardingKey: stored.shardingKey ?? undefined,
    headers: stored.headers,
    body: (topic.encoding === 'json' ? JSON.parse(stored.body as string) : stored.body) as In,
    publishedAt: new Date(stored.publishedAt),
  }
}

/** A late answer that lost against an earlier decision changes nothing, and is no fault of anybody's. */
export function lostTheRace(error: unknown): boolean {
  return isWaybillError(error, 'half.already-decided')
}
