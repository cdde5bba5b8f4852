import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../random.ts'
import type { Fleet } from './fleet.ts'
import { type Aim, aimAt, nextPortion, planKills, type Victim } from './kill-plan.ts'
import type { Payments } from './payments.ts'
import type { LiveSide } from './sides.ts'
import type { AnyWitness } from './witness.ts'

export interface KillerOptions {
  readonly side: LiveSide
  readonly fleet: Fleet
  readonly payments: Payments
  readonly witness: AnyWitness
  readonly orders: number
  readonly kills: number
  readonly seed: number
  readonly onKill: (landed: number) => void
  /** Ends the killing early, when the side has stopped moving. */
  readonly signal: AbortSignal
}

const lookEveryMs = 1
const aimWithinMs = 15_000

/**
 * Kills processes of one side while they work, the same way on both sides:
 * - the orders come in portions, one per kill, so that there is work at every kill;
 * - the order service is struck while payment callbacks are in flight, a consumer while it has messages in hand, and each
 *   only after it has done something since it was started: a process that is still starting loses nothing;
 * - a kill counts if, once the victim is dead and before it is started again, there is unfinished work: in a consumer's hands,
 *   or anywhere on the side if it was the order service.
 */
export class Killer {
  readonly #options: KillerOptions
  /** What each victim had done when it was last started. */
  readonly #doneAtStart = new Map<Victim, number>()
  readonly #landed: Victim[] = []

  constructor(options: KillerOptions) {
    this.#options = options
  }

  /** Answers the victims of the kills that landed in flight: as many as asked for, unless the work ran out. */
  async run(): Promise<readonly Victim[]> {
    const { payments, orders, kills, seed, onKill, signal } = this.#options
    const plan = planKills(seededRandom(seed))
    while (this.#landed.length < kills && !signal.aborted) {
      const kill = plan.next().value
      const before = payments.openedUpTo
      const portion = nextPortion(orders - before, kills - this.#landed.length)
      if (portion > 0) payments.open(before + portion)
      if (await this.#strike(aimAt(kill, before, portion))) {
        this.#landed.push(kill.victim)
        onKill(this.#landed.length)
      } else if (portion === 0 && !(await this.#hasUnfinishedWork())) break
    }
    payments.open(orders)
    return this.#landed
  }

  /** Waits for the moment; false if it did not come, or if the kill turned out to have hit an idle side. */
  async #strike({ victim, answeredMin, inHandMin, doneMin, delayMs }: Aim): Promise<boolean> {
    const { fleet, payments, side, signal } = this.#options
    const deadline = Date.now() + aimWithinMs
    const isWorking = async (): Promise<boolean> => {
      if (!fleet.isReady(victim)) return false
      if ((await this.#done(victim)) - (this.#doneAtStart.get(victim) ?? 0) < doneMin) return false
      if (victim === 'order') return payments.unanswered >= inHandMin
      return ((await side.work([victim])).get(victim)?.inHand ?? 0) >= inHandMin
    }
    while (Date.now() < deadline && !signal.aborted) {
      if (payments.progress.answered >= answeredMin && (await isWorking())) {
        if (delayMs > 0) await sleep(delayMs)
        if (delayMs === 0 || (await isWorking())) return await this.#kill(victim)
      }
      if (await this.#hasNothingFor(victim)) return false
      await Promise.race([sleep(lookEveryMs), fleet.failure])
    }
    return false
  }

  async #kill(victim: Victim): Promise<boolean> {
    const { fleet, side } = this.#options
    await fleet.kill(victim)
    const wasInFlight = await this.#hadInFlight(victim)
    if (victim !== 'order') await side.died(victim)
    this.#doneAtStart.set(victim, await this.#done(victim))
    // Not awaited: the others work on, and the next victim may be struck while this one starts. Failing to start fails the fleet.
    fleet.restart(victim).catch(() => undefined)
    return wasInFlight
  }

  async #done(victim: Victim): Promise<number> {
    const { payments, witness } = this.#options
    return victim === 'order' ? payments.progress.answered : witness.effectCount(victim)
  }

  async #hasNothingFor(victim: Victim): Promise<boolean> {
    const { payments, side } = this.#options
    const arePaymentsDone = payments.progress.answered >= payments.openedUpTo
    if (!arePaymentsDone || victim === 'order') return arePaymentsDone
    return (await side.work([victim])).get(victim)?.unfinished === 0
  }

  async #hadInFlight(victim: Victim): Promise<boolean> {
    if (victim === 'order') return await this.#hasUnfinishedWork()
    return ((await this.#options.side.work([victim])).get(victim)?.inHand ?? 0) > 0
  }

  async #hasUnfinishedWork(): Promise<boolean> {
    const { payments, side } = this.#options
    const work = await side.work()
    return payments.unanswered > 0 || [...work.values()].some(({ unfinished }) => unfinished > 0)
  }
}
