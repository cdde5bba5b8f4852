import { type Blame, type Dependency, DependencyDown, type DependencyGate } from '../core/dependencies.ts'
import { reasonOf } from '../core/errors.ts'
import type { MessageId } from '../core/ids.ts'
import type { Ports } from '../core/ports.ts'
import type { Breaker } from './breaker.ts'

interface Waiting {
  grant(leave: () => void): void
}

/** The gate of one group: all of its dependencies must let a message begin. First come, first served: the log's order depends on it. */
export class GroupDependencyGate implements DependencyGate {
  readonly #group: string
  readonly #breakers: readonly Breaker[]
  readonly #ports: Ports
  readonly #waiting: Waiting[] = []
  #cancelTimer: (() => void) | undefined
  #isStopped = false

  constructor(group: string, breakers: readonly Breaker[], ports: Ports) {
    this.#group = group
    this.#breakers = breakers
    this.#ports = ports
  }

  get isWaitedFor(): boolean {
    return this.#waiting.length > 0
  }

  async enter(signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined
    if (!this.isWaitedFor && this.#waitMs() === 0) return this.#admit()
    return new Promise((resolve) => {
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        resolve(undefined)
      }
      const waiting: Waiting = {
        grant: (leave) => {
          signal.removeEventListener('abort', giveUp)
          resolve(leave)
        },
      }
      signal.addEventListener('abort', giveUp, { once: true })
      this.#waiting.push(waiting)
      this.pump()
    })
  }

  /** Lets in whoever may begin now. */
  pump(): void {
    this.#cancelTimer?.()
    let waitMs = this.#waitMs()
    for (; this.isWaitedFor && waitMs === 0; waitMs = this.#waitMs())
      this.#waiting.shift()!.grant(this.#admit())
    if (this.isWaitedFor && waitMs !== Infinity && !this.#isStopped)
      this.#cancelTimer = this.#ports.clock.after(waitMs, () => this.pump())
  }

  /** Whoever waits is told by its signal. */
  stop(): void {
    this.#isStopped = true
    this.#cancelTimer?.()
  }

  handled(ids: readonly MessageId[]): void {
    for (const breaker of this.#breakers) breaker.handled({ group: this.#group, ids }, this.isWaitedFor)
  }

  async judge(error: unknown, ids: readonly MessageId[]): Promise<Blame> {
    const breaker = this.#breakers.find(({ dependency }) => this.#concerns(dependency, error))
    if (!breaker)
      return { dependency: error instanceof DependencyDown ? error.dependency : null, retryInMs: null }
    const retryInMs = await breaker.failed({ group: this.#group, ids }, reasonOf(error))
    return { dependency: breaker.dependency.name, retryInMs }
  }

  #concerns(dependency: Dependency, error: unknown): boolean {
    if (error instanceof DependencyDown) return error.dependency === dependency.name
    try {
      return dependency.matches(error)
    } catch (failure) {
      this.#ports.log.error(
        { err: failure, dependency: dependency.name },
        `what tells the errors of ${dependency.name} threw: ${reasonOf(failure)}; the failure counts as the handler's own`,
      )
      return false
    }
  }

  #waitMs(): number {
    return Math.max(...this.#breakers.map((breaker) => breaker.waitMs()))
  }

  #admit(): () => void {
    const leave = this.#breakers.map((breaker) => breaker.enter())
    return () => {
      for (const one of leave) one()
    }
  }
}
