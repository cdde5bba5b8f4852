import type { Dependency, DependencyState } from '../core/dependencies.ts'
import { reasonOf } from '../core/errors.ts'
import type { MessageId } from '../core/ids.ts'
import type { Ports } from '../core/ports.ts'

/** From here on a ramp no longer counts: as many at once as the groups want. */
const rampMax = 64
/** Failed messages that are remembered; the oldest are forgotten first. */
const offendersMax = 10_000
/** How long a message that tests the dependency keeps the others waiting. One that takes longer hangs, or must be assumed to. */
const testMaxMs = 30_000
/** A message that keeps failing comes back later and later, so that others get their turn to test the dependency (P28). */
const backOffDoublingsMax = 6

/** A message as a group delivers it: what it does in one group tells nothing of it in another. */
export interface Delivered {
  readonly group: string
  readonly ids: readonly MessageId[]
}

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
  readonly #offenders = new Map<string, Offender>()
  /** Different messages that failed since the last success; of a batch the first, since it fails as one (P8). */
  readonly #failedInARow = new Set<MessageId>()
  #limit = Infinity
  /** Since when each of those that began and have not ended is running, the longest first. */
  readonly #running = new Set<{ readonly since: number }>()
  #nextEntryAt = 0
  #successes = 0
  /** Failures of messages that had not failed before: only these tell of the dependency rather than of the message. */
  #freshFailures = 0
  #openings = 0
  #probing: Promise<string | null> | undefined
  #cancelProbe: (() => void) | undefined
  #endProbe: (() => void) | undefined
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
    // Whoever waits for its answer, to record a failure, could not stop before.
    this.#endProbe?.()
  }

  /** How long until one more may begin: 0 is now, Infinity when something else must happen first. */
  waitMs(): number {
    const now = this.#ports.clock.monotonic()
    return Math.max(0, this.#nextEntryAt - now, this.#roomInMs(now))
  }

  /** One more begins. The answer says that it has ended. */
  enter(): () => void {
    const now = this.#ports.clock.monotonic()
    const run = { since: now }
    this.#running.add(run)
    const { perSecond } = this.dependency
    if (perSecond !== null) this.#nextEntryAt = Math.max(this.#nextEntryAt, now) + 1_000 / perSecond
    return () => {
      this.#running.delete(run)
      this.#events.changed()
    }
  }

  /** @param isOthersWaiting whether more messages want to begin than may */
  handled({ group, ids }: Delivered, isOthersWaiting: boolean): void {
    this.#successes += ids.length
    this.#failedInARow.clear()
    if (this.#offenders.size > 0) for (const id of ids) this.#offenders.delete(offenderOf(group, id))
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
  async failed(delivered: Delivered, because: string): Promise<number | null> {
    const { group, ids } = delivered
    const before = ids.length === 1 ? this.#offenders.get(offenderOf(group, ids[0]!)) : undefined
    const times = this.#remember(delivered)
    if (this.state !== 'open' && !this.#isStopped) {
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

  /** Infinity where nobody may begin, however long it takes. */
  #roomInMs(now: number): number {
    if (this.#limit === 0) return Infinity
    if (this.#running.size < this.#limit) return 0
    const nth = [...this.#running][this.#running.size - this.#limit]!
    return nth.since + testMaxMs - now
  }

  /** Answers how often it has failed. Of the messages of a batch nobody knows which one did: none is an offender yet. */
  #remember({ group, ids }: Delivered): number {
    this.#failedInARow.add(ids[0]!)
    const offender = offenderOf(group, ids[0]!)
    const known = ids.length === 1 ? this.#offenders.get(offender) : undefined
    if (!known) this.#freshFailures++
    if (ids.length > 1) return 1
    const times = (known?.times ?? 0) + 1
    this.#offenders.delete(offender)
    this.#offenders.set(offender, {
      times,
      successes: this.#successes,
      freshFailures: this.#freshFailures,
      openings: this.#openings,
    })
    if (this.#offenders.size > offendersMax) this.#offenders.delete(this.#offenders.keys().next().value!)
    return times
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
      const end = (because: string): void => {
        abort.abort()
        resolve(because)
      }
      cancel = this.#ports.clock.after(dependency.probeTimeoutMs, () =>
        end(`its probe took longer than ${dependency.probeTimeoutMs} ms`),
      )
      this.#endProbe = () => end('its probe was given up at the stop')
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

function offenderOf(group: string, id: MessageId): string {
  return `${group} ${id}`
}
