import type { OpenDatabase } from '../core/database.ts'
import type { MaybePromise } from '../core/maybe-promise.ts'
import type { Ports } from '../core/ports.ts'

/** A database made for one test: fresh and empty, its schema in place, a table of the user's beside it. */
export interface DatabaseSubject<Tx> {
  /** Opens it as one more process would, with connections of its own. The same `service` each time. */
  open(): MaybePromise<OpenDatabase<Tx>>
  readonly ports: Ports
  /** Moves the clock that the store follows. */
  advance(ms: number): Promise<void>
  readonly effects: Effects<Tx>
  dispose(): Promise<void>
}

/** The user's business table: one text column and no unique key, so that an effect that happens twice is seen. */
export interface Effects<Tx> {
  /** Adds a row, in the user's transaction, by the user's own SQL. */
  add(tx: Tx, text: string): MaybePromise<void>
  /** What is committed, in the order in which it was added. */
  all(): Promise<readonly string[]>
}
