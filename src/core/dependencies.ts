import { type Duration, milliseconds } from './duration.ts'
import { WaybillError } from './errors.ts'
import type { MessageId } from './ids.ts'
import { checkDependencyName } from './names.ts'

export interface DependencyOptions {
  /**
   * Asks whether it is healthy: resolves if it is; throws, or answers false, if not. Called at the start, at once after a failure, and
   * every `every` until it is healthy again; never side by side.
   */
  probe(signal: AbortSignal): void | boolean | Promise<void | boolean>
  /** Between probes while it is down, and at first before a failed message is tried again. Default '5s'. */
  readonly every?: Duration
  /** How long a probe may take before it counts as failed. Default '5s'. */
  readonly probeTimeout?: Duration
  /** Which errors of a handler are this dependency's, besides a thrown `DependencyDown`. Default: none. */
  matches?(error: unknown): boolean
  /** At most so many messages begin per second, each instance by itself, when healthy and after. Default: no limit. */
  readonly perSecond?: number
  /** Different messages that fail in a row, though the probe succeeds, until it counts as down; a batch counts as one. Default 3. */
  readonly failures?: number
  /** Dead letters that it caused are redriven by themselves once it is healthy, at most this often each. Default 3; 0 for never. */
  readonly redrives?: number
}

/** Something outside that handlers need: declared once, named in `consume(topic, { dependencies: [logistics] }, …)`. */
export interface Dependency {
  readonly name: string
  readonly everyMs: number
  readonly probeTimeoutMs: number
  readonly perSecond: number | null
  readonly failures: number
  readonly redrives: number
  probe(signal: AbortSignal): void | boolean | Promise<void | boolean>
  matches(error: unknown): boolean
}

const everyDefault = '5s'
const probeTimeoutDefault = '5s'
const failuresDefault = 3
const redrivesDefault = 3

/**
 * Declares a dependency.
 * @param name as in `^[a-z][a-z0-9._-]{0,99}$`; the same in every service that shares a database
 * @throws WaybillError `config.invalid`, `duration.invalid`
 */
export function dependency(name: string, options: DependencyOptions): Dependency {
  checkDependencyName(name)
  const { failures = failuresDefault, redrives = redrivesDefault, perSecond } = options
  const refuse = (what: string): never => {
    throw new WaybillError('config.invalid', `dependency ${name}: ${what}`, { dependency: name })
  }
  if (typeof options.probe !== 'function') refuse('it needs a probe that tells whether it is healthy')
  if (options.matches !== undefined && typeof options.matches !== 'function')
    refuse('matches must be a function')
  if (perSecond !== undefined && !(Number.isFinite(perSecond) && perSecond > 0))
    refuse('perSecond must be a number above 0')
  if (!Number.isInteger(failures) || failures < 1) refuse('failures must be a whole number from 1')
  if (!Number.isInteger(redrives) || redrives < 0) refuse('redrives must be a whole number from 0')
  return {
    name,
    everyMs: milliseconds(options.every ?? everyDefault),
    probeTimeoutMs: milliseconds(options.probeTimeout ?? probeTimeoutDefault),
    perSecond: perSecond ?? null,
    failures,
    redrives,
    probe: (signal) => options.probe(signal),
    matches: (error) => options.matches?.(error) ?? false,
  }
}

/** Thrown by a handler: not the message is to blame but the dependency. It rolls back, costs no attempt, and is tried again. */
export class DependencyDown extends WaybillError {
  readonly dependency: string

  constructor(which: string | Dependency, because: string, options?: ErrorOptions) {
    const name = typeof which === 'string' ? which : which.name
    super('dependency.down', `${name}: ${because}`, { dependency: name }, options)
    this.dependency = name
  }
}

/** Lets the messages of one group begin while the dependencies of the group are up, and says whose fault a failure is. */
export interface DependencyGate {
  /** Waits until one more message may begin, in the order of asking. The answer ends its stay; undefined: the signal aborted first. */
  enter(signal: AbortSignal): Promise<(() => void) | undefined>
  /** These messages were handled: the dependencies did what they should. */
  handled(ids: readonly MessageId[]): void
  judge(error: unknown, ids: readonly MessageId[]): Promise<Blame>
}

export interface Blame {
  /** The dependency that failed; null where the failure is the handler's own. */
  readonly dependency: string | null
  /** When to try again without charging the message; null where the message is to blame. */
  readonly retryInMs: number | null
}

/** What an instance knows of a dependency: `open` waits for the probe, `half-open` tests with one real message after the other. */
export const dependencyStates = ['closed', 'open', 'half-open'] as const
export type DependencyState = (typeof dependencyStates)[number]

/** One instance's sight of one dependency, kept in its database so that anyone can ask. */
export interface DependencySight {
  readonly name: string
  readonly owner: string
  readonly service: string
  readonly state: DependencyState
  /** When it came into this state. */
  readonly since: number
  /** What the last failure or probe said; null where all was well. */
  readonly because: string | null
  /** The groups of this instance that need it. */
  readonly groups: readonly string[]
  /** The instance has said nothing after this: it has stopped or died, and what it said is no news. */
  readonly until: number
}

/** A sight with whether it still holds, by the store's clock. */
export interface ListedDependency extends DependencySight {
  /** Nothing was heard of the instance after `until`: it has stopped or died. */
  readonly isSilent: boolean
}

/** What instances have found out about dependencies: a part of the store's contract. */
export interface DependencyStore {
  /** Replaces what this owner said of this dependency. */
  report(sight: DependencySight): Promise<void>
  /** Forgets what this owner said. */
  withdraw(owner: string): Promise<void>
  /** By name and owner; with those of instances that have fallen silent, which are dropped a day later. */
  list(): Promise<readonly ListedDependency[]>
}
