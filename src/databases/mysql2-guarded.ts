import type { PoolConnection } from 'mysql2/promise'
import type { Guard } from '../stores/mysql/control.ts'

const statements = new Set(['query', 'execute', 'prepare'])
/** What ends the transaction, or the session with it. */
const ends = new Set(['beginTransaction', 'commit', 'rollback', 'changeUser', 'reset'])
/** Waybill gives the connection back. */
const kept = new Set(['release', 'end', 'close', 'destroy'])

/** The connection itself, but for what would end the transaction behind Waybill's back, or go on after it. */
export function guarded(connection: PoolConnection, guard: Guard): PoolConnection {
  return wrap(connection, guard, rejected)
}

const rejected = (error: unknown): unknown => Promise.reject(error as Error)

function wrap<T extends object>(target: T, guard: Guard, fail: (error: unknown) => unknown): T {
  const checked =
    (name: string, check: (args: readonly unknown[]) => void) =>
    (...args: readonly unknown[]): unknown => {
      try {
        check(args)
      } catch (error) {
        return fail(error)
      }
      return (Reflect.get(target, name) as (...args: readonly unknown[]) => unknown).apply(target, [...args])
    }
  return new Proxy(target, {
    get: (_, name) => {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof name !== 'string') return value
      if (statements.has(name)) return checked(name, (args) => guard.check(textOf(args)))
      if (ends.has(name)) return checked(name, () => guard.checkControl())
      if (kept.has(name)) return () => {}
      // Below the promises, and back to them.
      if (name === 'connection' && value)
        return wrap(value as object, guard, (error) => {
          throw error
        })
      if (name === 'promise') return () => wrap((value as () => object).call(target), guard, rejected)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function textOf([first]: readonly unknown[]): string {
  return typeof first === 'string' ? first : ((first as { sql?: string } | undefined)?.sql ?? '')
}
