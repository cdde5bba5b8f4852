/**
 * A database handle is synchronous (SQLite) or asynchronous (servers). Code between `publish` and the driver must not turn a
 * synchronous call into a promise: in a synchronous user transaction the rejection would arrive after COMMIT.
 */
export type MaybePromise<T> = T | Promise<T>

/** What a call answers on a handle of this mode. */
export type Answer<Mode, T> = Mode extends 'sync' ? T : Promise<T>

/** `await value; return next(value)` that stays synchronous when the value is. */
export function chain<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return isPromise(value) ? value.then(next) : next(value)
}

export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
