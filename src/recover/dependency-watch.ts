import type { Dependency, DependencyGate } from '../core/dependencies.ts'
import { WaybillError, reasonOf } from '../core/errors.ts'
import type { OwnerId } from '../core/ids.ts'
import type { Ports } from '../core/ports.ts'
import type { Store } from '../core/store.ts'
import { Breaker } from './breaker.ts'
import { GroupDependencyGate } from './dependency-gate.ts'

/** Redriven dead letters per second, where the dependency names no rate of its own. */
const redrivesPerSecond = 10
/** Of the dead letters of a dependency, how many are looked at before it is worth a job. */
const lookedAtMax = 1_000
/** How soon after one redrive of its dead letters has not ended, or could not be made, another one is thought of. */
const redriveAgainMs = 10_000
/** Who makes redrives that nobody asked for. */
const byItself = 'waybill'
/** How long what an instance says of a dependency that is not well holds without being said again. */
const silenceMs = 30_000
/** One that is well is said again but seldom. */
const closedHoldsMs = 24 * 3_600_000

export interface DependencyWatchParts {
  readonly store: Pick<Store<never>, 'dependencies' | 'redrives' | 'deadLetters'>
  readonly ports: Ports
  readonly owner: OwnerId
  readonly service: string
  /** A redrive job was made. */
  readonly redriving: () => void
}

/**
 * The dependencies of one instance: a breaker each, what they say written down for all to see, and a redrive of the dead letters that
 * they caused once they are healthy.
 */
export class DependencyWatch {
  readonly #parts: DependencyWatchParts
  readonly #breakers = new Map<string, { readonly breaker: Breaker; readonly groups: string[] }>()
  readonly #gates: GroupDependencyGate[] = []
  #cancelSaying: (() => void) | undefined
  /** By dependency. */
  readonly #cancelRedriving = new Map<string, () => void>()
  #acting: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(parts: DependencyWatchParts) {
    this.#parts = parts
  }

  /** @throws WaybillError `config.invalid` where two declarations have one name */
  gateOf(group: string, dependencies: readonly Dependency[]): DependencyGate | undefined {
    if (dependencies.length === 0) return undefined
    const gate = new GroupDependencyGate(
      group,
      dependencies.map((dependency) => this.#breakerOf(dependency, group)),
      this.#parts.ports,
    )
    this.#gates.push(gate)
    return gate
  }

  /** Whether a group waits on purpose: something that it needs is down, is being tested, or allows only so much. */
  holds(group: string): boolean {
    return [...this.#breakers.values()].some(
      ({ breaker, groups }) =>
        groups.includes(group) && (breaker.state !== 'closed' || breaker.dependency.perSecond !== null),
    )
  }

  start(): void {
    if (this.#breakers.size > 0) this.#say()
    for (const { breaker } of this.#breakers.values()) breaker.start()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelSaying?.()
    for (const cancel of this.#cancelRedriving.values()) cancel()
    for (const { breaker } of this.#breakers.values()) breaker.stop()
    for (const gate of this.#gates) gate.stop()
    await this.#acting
    if (this.#breakers.size > 0)
      await this.#attempt('withdraw what was said of dependencies', () =>
        this.#parts.store.dependencies.withdraw(this.#parts.owner),
      )
  }

  #breakerOf(dependency: Dependency, group: string): Breaker {
    const known = this.#breakers.get(dependency.name)
    if (known) {
      if (known.breaker.dependency !== dependency)
        throw new WaybillError(
          'config.invalid',
          `dependency ${dependency.name} is declared twice; declare it once and name that one in every group`,
          { dependency: dependency.name },
        )
      known.groups.push(group)
      return known.breaker
    }
    const breaker: Breaker = new Breaker(dependency, this.#parts.ports, {
      changed: () => this.#pump(),
      moved: () => this.#say(),
      healthy: () => this.#redrive(dependency),
    })
    this.#breakers.set(dependency.name, { breaker, groups: [group] })
    return breaker
  }

  /** Each time another gate first: a half-open dependency is tested with messages of all groups (P28). */
  #pump(): void {
    const first = this.#gates.shift()
    if (first) this.#gates.push(first)
    for (const gate of this.#gates) gate.pump()
  }

  /** Writes down how it stands with all of them, and again before that has lapsed: while one is not well, often. */
  #say(): void {
    if (this.#isStopped) return
    const { ports, owner, service, store } = this.#parts
    this.#act('say how it stands with dependencies', async () => {
      for (const [name, { breaker, groups }] of this.#breakers) {
        const { state, since, because } = breaker
        const until = ports.clock.now() + (state === 'closed' ? closedHoldsMs : silenceMs)
        await store.dependencies.report({ name, owner, service, state, since, because, groups, until })
      }
      const isEachWell = [...this.#breakers.values()].every(({ breaker }) => breaker.state === 'closed')
      if (isEachWell) this.#sayIn(closedHoldsMs / 3)
    })
    // Unless all is well and written down, soon.
    this.#sayIn(silenceMs / 3)
  }

  #sayIn(delayMs: number): void {
    this.#cancelSaying?.()
    if (!this.#isStopped) this.#cancelSaying = this.#parts.ports.clock.after(delayMs, () => this.#say())
  }

  /**
   * One redrive at a time: instances that find it healthy together, and one that finds it so again and again, would multiply the rate.
   * What died meanwhile has its turn when that one has ended. One that a person holds holds the next ones, and one that a person has
   * put an end to is not made good for before the next outage is over.
   * @param after the redrive that this one has waited for
   */
  #redrive(dependency: Dependency, after?: string): void {
    const { name, redrives: generationsMax } = dependency
    if (generationsMax === 0 || this.#isStopped) return
    this.#act(`redrive the dead letters of ${name}`, async () => {
      // Unless there is nothing left to do, again.
      this.#redriveAgain(dependency, after)
      const { redrives } = this.#parts.store
      const unfinished = await redrives.list({ states: ['running', 'paused'], limit: lookedAtMax })
      const before = unfinished.find(({ id, by }) => by === byItself && id.startsWith(`${name}:`))
      if (before) {
        this.#redriveAgain(dependency, before.id)
        return
      }
      const ended = after === undefined ? [] : await redrives.list({ id: after })
      if (ended[0]?.state !== 'cancelled') await this.#redriveDead(dependency)
      this.#cancelRedriving.get(name)?.()
    })
  }

  #redriveAgain(dependency: Dependency, after: string | undefined): void {
    this.#cancelRedriving.get(dependency.name)?.()
    if (this.#isStopped) return
    const cancel = this.#parts.ports.clock.after(redriveAgainMs, () => {
      // Once it is healthy it is told anyway.
      if (this.#breakers.get(dependency.name)!.breaker.state !== 'open') this.#redrive(dependency, after)
    })
    this.#cancelRedriving.set(dependency.name, cancel)
  }

  async #redriveDead({ name, redrives: generationsMax, perSecond }: Dependency): Promise<void> {
    const { ports, owner, store, redriving } = this.#parts
    const dead = await store.deadLetters({ dependency: name, limit: lookedAtMax })
    const first = dead.find(({ generation }) => generation < generationsMax)
    if (dead.length < lookedAtMax && !first) return
    const create = (id: string): ReturnType<typeof store.redrives.create> =>
      store.redrives.create({
        id: `${name}:${id}`,
        selection: { dependency: name },
        generationsMax,
        perSecond: perSecond ?? redrivesPerSecond,
        order: 'oldest-first',
        note: { by: byItself, because: `${name} is healthy again` },
      })
    // Two instances that look at the same time see the same, and make one of it.
    const { job } = await create(first ? `${first.id}:${first.generation}` : `${owner}:${ports.clock.now()}`)
    // Somebody put an end to that one; it was about the outage before.
    if (job.state === 'cancelled') await create(`${owner}:${ports.clock.now()}`)
    redriving()
  }

  /** One after the other. Nothing waits for it: what could not be written is tried again a little later. */
  #act(what: string, work: () => Promise<void>): void {
    this.#acting = this.#acting.then(() => this.#attempt(what, work))
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#parts.ports.log.warn({ err: error }, `could not ${what}: ${reasonOf(error)}`)
    }
  }
}
