import type { Dependency, DependencyState } from '../core/dependencies.ts'
import { reasonOf } from '../core/errors.ts'
import type { MessageId } from '../core/ids.ts'
import type { Ports } from '../core/ports.ts'

/** From here on a ramp no longer counts: as many at once as the groups want. */
const rampMax = 64
/** Failed messages that are remembered; the oldest are forgotten first. */
const offendersMax = 10_000
/** A message that keeps failing comes back later and later, so that others get their turn to test the dependency (P28). */
const backOffDoublingsMax = 6

/** A message that failed by the dependency, and what was known of the dependency then. */
interface Offender {
  readonly times: number
  readonly successes: number
  readonly freshFailures: number
  readonly openings: number
}

export interface BreakerEvents {
  /** Its state changed, or how many may begin: whoever waits may try again. */
  changed(): void
  /** It came into another state. */
  moved(): void
  /** The probe says that it is healthy, after it was down or at the start. */
  healthy(): void
}

/**
 * One dependency as one instance sees it. Closed: all begin. Open: none begins, the probe is asked. Half-open: the probe succeeded,
 * and one real message after the other tests it; each success lets twice as many begin at once.
 */
export class Breaker {
  readonly dependency: Dependency
  state: DependencyState = 'closed'
  since: number
  because: string | null = null
  readonly #ports: Ports
  readonly #events: BreakerEvents
  readonly #offenders = new Map<MessageId, Offender>()
  /** Different messages that failed since the last success. */
  readonly #failedInARow = new Set<MessageId>()
  #limit = Infinity
  #running = 0
  #nextEntryAt = 0
  #successes = 0
  /** Failures of messages that had not failed before: only these tell of the dependency rather than of the message. */
  #freshFailures = 0
  #openings = 0
  #probing: Promise<string | null> | undefined
  #cancelProbe: (() => void) | undefined
  #isStopped = false

  constructor(dependency: Dependency, ports: Ports, events: BreakerEvents) {
    this.dependency = dependency
    this.#ports = ports
    this.#events = events
    this.since = ports.clock.now()
  }

  /** Asks the probe once: dead letters of an outage that ended while nobody ran are not left behind. */
  start(): void {
    void this.#probe().then((down) => {
      if (this.#isStopped) return
      if (down !== null) this.#open(down)
      else if (this.state === 'closed') this.#events.healthy()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#cancelProbe?.()
  }

  /** How long until one more may begin: 0 is now, Infinity when something else must happen first. */
  waitMs(): number {
    if (this.#running >= this.#limit) return Infinity
    return Math.max(0, this.#nextEntryAt - this.#ports.clock.monotonic())
  }

  enter(): void {
    this.#running++
    const { perSecond } = this.dependency
    if (perSecond === null) return
    this.#nextEntryAt = Math.max(this.#nextEntryAt, this.#ports.clock.monotonic()) + 1_000 / perSecond
  }

  leave(): void {
    this.#running--
    this.#events.changed()
  }

  /** @param isOthersWaiting whether more messages want to begin than may */
  handled(ids: readonly MessageId[], isOthersWaiting: boolean): void {
    this.#successes += ids.length
    this.#failedInARow.clear()
    for (const id of ids) this.#offenders.delete(id)
    if (this.state !== 'half-open') return
    this.#limit *= 2
    // With nobody waiting there is nothing to ramp up.
    if (this.#limit > rampMax || !isOthersWaiting) this.#close()
    this.#events.changed()
  }

  /**
   * Charges the dependency, or the message itself where it fails though the probe and others succeed (P28).
   * Answers when to try again without an attempt; null where the message is to blame.
   */
  async failed(ids: readonly MessageId[], because: string): Promise<number | null> {
    const before = ids.length === 1 ? this.#offenders.get(ids[0]!) : undefined
    const times = this.#remember(ids)
    if (this.state !== 'open') {
      const down = await this.#probe()
      if (this.#isStopped) return this.#retryInMs(times)
      if (down !== null) this.#open(down)
      else if (this.#failedInARow.size >= this.dependency.failures)
        this.#open(
          `${this.#failedInARow.size} messages failed in a row, though the probe succeeds: ${because}`,
        )
      else if (before && this.#isItsOwnFault(before)) return null
    }
    if (this.state === 'half-open') this.#limit = 1
    return this.#retryInMs(times)
  }

  #retryInMs(times: number): number {
    return this.dependency.everyMs * 2 ** Math.min(times - 1, backOffDoublingsMax)
  }

  /** Since its last failure others succeeded, and nothing but known offenders failed. */
  #isItsOwnFault(before: Offender): boolean {
    return (
      this.#successes > before.successes &&
      this.#freshFailures === before.freshFailures &&
      this.#openings === before.openings
    )
  }

  /** Answers how often the one that failed most has failed. */
  #remember(ids: readonly MessageId[]): number {
    this.#freshFailures += ids.filter((id) => !this.#offenders.has(id)).length
    let most = 0
    for (const id of ids) {
      const times = (this.#offenders.get(id)?.times ?? 0) + 1
      most = Math.max(most, times)
      this.#failedInARow.add(id)
      this.#offenders.delete(id)
      this.#offenders.set(id, {
        times,
        successes: this.#successes,
        freshFailures: this.#freshFailures,
        openings: this.#openings,
      })
    }
    for (const id of this.#offenders.keys()) {
      if (this.#offenders.size <= offendersMax) break
      this.#offenders.delete(id)
    }
    return most
  }

  #open(because: string): void {
    this.because = because
    if (this.state === 'open') return
    this.#openings++
    this.#failedInARow.clear()
    this.#limit = 0
    this.#move('open')
    this.#ports.log.warn(
      { dependency: this.dependency.name },
      `${this.dependency.name} is down, its groups wait: ${because}`,
    )
    this.#probeLater()
  }

  #probeLater(): void {
    this.#cancelProbe?.()
    if (this.#isStopped) return
    this.#cancelProbe = this.#ports.clock.after(this.dependency.everyMs, () => void this.#probeAgain())
  }

  async #probeAgain(): Promise<void> {
    const down = await this.#probe()
    if (this.#isStopped || this.state !== 'open') return
    if (down !== null) {
      this.because = down
      this.#probeLater()
      return
    }
    this.#limit = 1
    this.#move('half-open')
    this.#events.healthy()
    this.#events.changed()
  }

  #close(): void {
    this.#limit = Infinity
    this.because = null
    this.#move('closed')
    this.#ports.log.info({ dependency: this.dependency.name }, `${this.dependency.name} is up again`)
  }

  #move(state: DependencyState): void {
    this.state = state
    this.since = this.#ports.clock.now()
    this.#events.moved()
  }

  /** Null when it is healthy, else why not. Never side by side. */
  #probe(): Promise<string | null> {
    this.#probing ??= this.#probeOnce().finally(() => {
      this.#probing = undefined
    })
    return this.#probing
  }

  async #probeOnce(): Promise<string | null> {
    const { dependency } = this
    const abort = new AbortController()
    let cancel = (): void => {}
    const tooLong = new Promise<string>((resolve) => {
      cancel = this.#ports.clock.after(dependency.probeTimeoutMs, () => {
        abort.abort()
        resolve(`its probe took longer than ${dependency.probeTimeoutMs} ms`)
      })
    })
    const ask = async (): Promise<string | null> => {
      try {
        return (await dependency.probe(abort.signal)) === false
          ? 'its probe says that it is not healthy'
          : null
      } catch (error) {
        return `its probe failed: ${reasonOf(error)}`
      }
    }
    const answer = await Promise.race([ask(), tooLong])
    cancel()
    return answer
  }
}
