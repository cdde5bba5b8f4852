import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type { Store } from '../core/store.ts'

/** A store's methods that answer promises: the others run inside a user's transaction, or only tell. */
export type StoreMethod = {
  [Name in keyof Store<never>]: Store<never>[Name] extends (...args: never[]) => Promise<unknown>
    ? Name
    : never
}[keyof Store<never>]

export interface Breakable {
  /** These calls fail before they take effect, until the answer is called. All calls, if none is named. */
  breakDown(...methods: readonly StoreMethod[]): () => void
  /** The next call fails before it takes effect; those after it do not. */
  failNext(method: StoreMethod): void
  /** The next call takes effect, but its answer gets lost. */
  swallowAnswer(method: StoreMethod): void
  /** How often a method was called, failures included. */
  calls(method: StoreMethod): number
}

/**
 * A database that can be made to fail as if its disk or network were gone, over the real one.
 *
 *   const broker = breakable(sqlite('broker.db'))
 *   const repair = broker.breakDown('land')
 */
export function breakable<Tx, Mode extends 'sync' | 'async'>(
  database: Database<Tx, Mode>,
): Database<Tx, Mode> & Breakable {
  const faults = new Faults()
  return {
    mode: database.mode,
    dialect: database.dialect,
    open: (ports, options) => {
      const opened = database.open(ports, options)
      const store = faults.over(opened.store)
      return new Proxy(opened, {
        get: (target, name) => (name === 'store' ? store : bound(target, name)),
      })
    },
    breakDown: (...methods) => faults.breakDown(methods),
    failNext: (method) => void faults.failing.add(method),
    swallowAnswer: (method) => void faults.swallowed.add(method),
    calls: (method) => faults.calls.get(method) ?? 0,
  }
}

const immediate = new Set<string | symbol>([
  'can',
  'append',
  'claim',
  'markDiscarded',
  'advanceIn',
  'releaseFollower',
  'watch',
])

class Faults {
  readonly failing = new Set<string>()
  readonly swallowed = new Set<string>()
  readonly calls = new Map<string, number>()
  readonly #broken = new Set<readonly string[]>()

  breakDown(methods: readonly string[]): () => void {
    const broken = [...methods]
    this.#broken.add(broken)
    return () => void this.#broken.delete(broken)
  }

  over<Tx>(store: Store<Tx>): Store<Tx> {
    return new Proxy(store, {
      get: (target, name) => {
        const method = bound(target, name)
        if (typeof name === 'symbol' || immediate.has(name) || typeof method !== 'function') return method
        return (...args: unknown[]) => this.#call(name, method as (...args: unknown[]) => unknown, args)
      },
    })
  }

  async #call(name: string, method: (...args: unknown[]) => unknown, args: unknown[]): Promise<unknown> {
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1)
    for (const broken of this.#broken)
      if (broken.length === 0 || broken.includes(name)) throw lost(`${name} did not reach the database`)
    if (this.failing.delete(name)) throw lost(`${name} did not reach the database`)
    const answer = await method(...args)
    if (this.swallowed.delete(name)) throw lost(`the answer to ${name} got lost`)
    return answer
  }
}

/** Methods keep their `this`: they use private fields, which a proxy does not have. */
function bound(target: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name, target)
  return typeof value === 'function' ? value.bind(target) : value
}

function lost(what: string): WaybillError {
  return new WaybillError('store.io', `${what}, as the test wants it`)
}
