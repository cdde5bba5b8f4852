import { reasonOf } from '../core/errors.ts'
import type { HalfAnswer, HalfStore, StoredHalf } from '../core/half.ts'
import type { Ports } from '../core/ports.ts'
import { type CheckBack, asHalf, checkAnswer, lostTheRace } from './half-messages.ts'
import { nextCheckAt } from './half-settings.ts'

const takenMax = 20
const pollMs = 1_000
/** Added to a check's time-out before another instance may check the same half. */
const marginMs = 5_000

export interface CheckBacksParts {
  readonly halves: HalfStore<never>
  readonly service: string
  readonly checkBacks: ReadonlyMap<string, CheckBack>
  readonly ports: Ports
  /** Called after a commit: this process's readers need not wait for the file to tell them. */
  readonly committed: () => void
}

/**
 * Asks what became of undecided half messages. Any live instance of the producing service may ask and answer; a taken half is not
 * checked by another before the time-out. Only a check that was answered counts; one that throws or times out is counted apart, and
 * no count ever drops a message (P25).
 */
export class CheckBacks {
  readonly #parts: CheckBacksParts
  #stopping = false
  #abandoned = false
  #wake: (() => void) | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(parts: CheckBacksParts) {
    this.#parts = parts
  }

  start(): void {
    if (this.#parts.checkBacks.size > 0) this.#running = this.#run()
  }

  /** Waits for the checks that run, but no longer than this: what they answer later is asked again, elsewhere. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true
    this.#wake?.()
    let cancel = (): void => {}
    const timeIsUp = new Promise<void>((resolve) => {
      cancel = this.#parts.ports.clock.after(withinMs, () => {
        this.#abandoned = true
        resolve()
      })
    })
    await Promise.race([this.#running, timeIsUp])
    cancel()
  }

  async #run(): Promise<void> {
    const { halves, service, checkBacks, ports } = this.#parts
    const topics = [...checkBacks.keys()]
    const longestMs = Math.max(...[...checkBacks.values()].map(({ settings }) => settings.checkTimeoutMs))
    while (!this.#stopping) {
      try {
        const due = await halves.takeChecks(
          service,
          topics,
          ports.clock.now() + longestMs + marginMs,
          takenMax,
        )
        await Promise.all(due.map((half) => this.#check(half, checkBacks.get(half.topic)!)))
        if (due.length === 0) await this.#sleepUntil(await halves.nextCheck(service, topics))
      } catch (error) {
        // The database is closed by now.
        if (this.#abandoned) return
        ports.log.warn({ err: error }, `checking half messages failed and is tried again: ${reasonOf(error)}`)
        await this.#sleepUntil(undefined)
      }
    }
  }

  async #check(half: StoredHalf, checkBack: CheckBack): Promise<void> {
    const { halves, ports, committed } = this.#parts
    let answer: HalfAnswer
    try {
      answer = await this.#ask(half, checkBack)
    } catch (error) {
      const { checkEveryMs, checks } = checkBack.settings
      await halves.recordUnknown(
        half.id,
        false,
        ports.clock.now() + checkEveryMs,
        reasonOf(error).slice(0, 2_000),
      )
      // By age as well as by count: answered, it would have been given up to a person by now.
      const isOld = ports.clock.now() - half.publishedAt > checkEveryMs * checks
      const facts = { err: error, id: half.id, topic: half.topic, key: half.key, failures: half.failures + 1 }
      if (isOld) ports.log.error(facts, 'a half message cannot be checked back for a long time')
      else ports.log.warn(facts, 'a check-back failed and counts for nothing')
      return
    }
    try {
      if (answer === 'unknown') await this.#unknown(half, checkBack)
      else await halves.decide(half.id, answer, 'check-back', null)
      if (answer === 'commit') committed()
    } catch (error) {
      if (!lostTheRace(error)) throw error
      ports.log.warn(
        { err: error, id: half.id },
        'a check-back answered after the half message was decided otherwise; the earlier decision stands',
      )
    }
  }

  async #unknown(half: StoredHalf, { settings }: CheckBack): Promise<void> {
    const { halves, ports } = this.#parts
    const now = ports.clock.now()
    const { expireAfterMs, whenExhausted, checks } = settings
    if (expireAfterMs !== undefined && now - half.publishedAt >= expireAfterMs) {
      return halves.decide(half.id, 'rollback', 'policy', 'its time was up and it was still unknown', true)
    }
    await halves.recordUnknown(
      half.id,
      true,
      nextCheckAt(settings, half.checks + 1, half.publishedAt, now),
      'the producer answered unknown',
    )
    if (expireAfterMs !== undefined || half.checks + 1 < checks) return
    const because = `${half.checks + 1} checks were answered with unknown`
    if (whenExhausted !== 'in-doubt') return halves.decide(half.id, whenExhausted, 'policy', because)
    await halves.doubt(half.id, because)
    ports.log.error(
      { id: half.id, topic: half.topic, key: half.key, checks: half.checks + 1 },
      `a half message is in doubt and waits for a person: ${because}`,
    )
  }

  /** @throws what the check throws, and an error when it takes too long or answers nonsense */
  async #ask(half: StoredHalf, { topic, settings, check }: CheckBack): Promise<HalfAnswer> {
    const { clock } = this.#parts.ports
    let cancel = (): void => {}
    const tooLong = new Promise<never>((_, reject) => {
      cancel = clock.after(settings.checkTimeoutMs, () =>
        reject(new Error(`the check took longer than ${settings.checkTimeoutMs} ms`)),
      )
    })
    try {
      const answer: unknown = await Promise.race([
        check({ ...asHalf<unknown>(half, topic), checks: half.checks }),
        tooLong,
      ])
      checkAnswer(answer)
      return answer
    } finally {
      cancel()
    }
  }

  async #sleepUntil(until: number | undefined): Promise<void> {
    const { clock } = this.#parts.ports
    if (this.#stopping) return
    const waitMs = until === undefined ? pollMs : Math.min(pollMs, Math.max(1, until - clock.now()))
    await new Promise<void>((resolve) => {
      const cancel = clock.after(waitMs, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }
}
