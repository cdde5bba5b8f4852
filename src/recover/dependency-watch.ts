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
/** How long what an instance says of a dependency that is not well holds without being said again. */
const silenceMs = 30_000
/** One that is well is not said again and again. */
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
  #acting: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(parts: DependencyWatchParts) {
    this.#parts = parts
  }

  /** @throws WaybillError `config.invalid` where two declarations have one name */
  gateOf(group: string, dependencies: readonly Dependency[]): DependencyGate | undefined {
    if (dependencies.length === 0) return undefined
    const gate = new GroupDependencyGate(
      dependencies.map((dependency) => this.#breakerOf(dependency, group)),
      this.#parts.ports,
    )
    this.#gates.push(gate)
    return gate
  }

  start(): void {
    for (const { breaker } of this.#breakers.values()) breaker.start()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelSaying?.()
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

  /** Writes down how it stands with all of them, again and again while one is not well. */
  #say(): void {
    if (this.#isStopped) return
    this.#cancelSaying?.()
    const { ports, owner, service, store } = this.#parts
    this.#act('say how it stands with dependencies', async () => {
      for (const [name, { breaker, groups }] of this.#breakers) {
        const { state, since, because } = breaker
        const until = ports.clock.now() + (state === 'closed' ? closedHoldsMs : silenceMs)
        await store.dependencies.report({ name, owner, service, state, since, because, groups, until })
      }
    })
    const isAnyUnwell = [...this.#breakers.values()].some(({ breaker }) => breaker.state !== 'closed')
    if (isAnyUnwell) this.#cancelSaying = ports.clock.after(silenceMs / 3, () => this.#say())
  }

  #redrive({ name, redrives: generationsMax, perSecond }: Dependency): void {
    if (generationsMax === 0) return
    const { ports, owner, store, redriving } = this.#parts
    this.#act(`redrive the dead letters of ${name}`, async () => {
      const dead = await store.deadLetters({ dependency: name, limit: lookedAtMax })
      if (dead.length < lookedAtMax && dead.every(({ generation }) => generation >= generationsMax)) return
      await store.redrives.create({
        id: `${name}:${owner}:${ports.clock.now()}`,
        selection: { dependency: name },
        generationsMax,
        perSecond: perSecond ?? redrivesPerSecond,
        order: 'oldest-first',
        note: { by: 'waybill', because: `${name} is healthy again` },
      })
      redriving()
    })
  }

  /** One after the other. Nothing waits for it: what could not be written is tried again with the next change. */
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
