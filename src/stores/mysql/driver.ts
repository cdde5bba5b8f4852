import type { Guard } from './control.ts'

/** Values that cross every driver alike. JSON travels as text; 64-bit integers come back as numbers. */
export type MyValue = string | number | boolean | null | Uint8Array
export type MyRow = Record<string, any>

export interface MyAnswer {
  readonly rows: readonly MyRow[]
  /** Rows inserted or deleted, and of an UPDATE those that matched, whatever the connection's flags make the library count. */
  readonly affected: number
}

/** Runs one statement with `?` on one connection: prepared, so that no SQL mode of the session decides what a value means. */
export interface MyRunner {
  query(text: string, params: readonly MyValue[]): Promise<MyAnswer>
}

/** A connection for one use at a time, on which the caller begins and ends transactions with statements. */
export interface MySession extends MyRunner {
  /** Ends the session; with an error the connection is thrown away, since what it still does cannot be known. */
  release(error?: unknown): void
}

/** A transaction that is open. Either end gives its connection back. */
export interface MyTransaction extends MyRunner {
  commit(): Promise<void>
  rollBack(): Promise<void>
}

/** One that a user's work runs in. */
export interface MyUserTransaction<Tx> extends MyTransaction {
  /** What handlers and `waybill.transaction` get: the tool's own handle, as far as the guard lets it through. */
  readonly tx: Tx
  readonly guard: Guard
}

/** What a MySQL library must be able to do. */
export interface MyDriver<Tx> extends MyRunner {
  readonly name: string
  /** The database that its connections are in; undefined if they are in none. */
  readonly database: string | undefined
  /** A connection for Waybill itself. */
  session(): Promise<MySession>
  /** Begins a transaction for a user's work in the tool's own way, at READ COMMITTED whatever the server's default is. */
  begin(): Promise<MyUserTransaction<Tx>>
  /** The user's own handle; undefined if it is no handle of this library. */
  adopt(handle: unknown): MyAdopted | undefined
  close(): Promise<void>
}

export interface MyAdopted {
  readonly runner: MyRunner
  /** Asked of the handle, never of the server (P32); undefined where it cannot tell. */
  isInTransaction(): boolean | undefined
  /** Calls back once the transaction that is open now has ended, either way; absent where the handle cannot tell. */
  onceEnded?(ended: () => void): void
}

/** The server's error number; undefined where the server said nothing. */
export function errorNumber(error: unknown): number | undefined {
  const { errno, sqlState } = (error ?? {}) as { errno?: unknown; sqlState?: unknown }
  // Node's system errors have an errno as well, a negative one and no SQLSTATE.
  return typeof errno === 'number' && typeof sqlState === 'string' ? errno : undefined
}
