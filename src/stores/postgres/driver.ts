import type { Guard } from './control.ts'

/** Values that cross every driver alike. JSON travels as text and is cast on the server; 64-bit integers come back as numbers. */
export type PgValue = string | number | boolean | null | Uint8Array
export type PgRow = Record<string, any>

export interface PgAnswer {
  readonly rows: readonly PgRow[]
  readonly affected: number
  /** The server's command tag, such as 'COMMIT', where the library tells. */
  readonly command?: string | undefined
}

/** Runs one statement with `$1`, `$2`, … on one connection. */
export interface PgRunner {
  query(text: string, params: readonly PgValue[]): Promise<PgAnswer>
}

/** A connection for one use at a time, on which the caller begins and ends transactions with statements. */
export interface PgSession extends PgRunner {
  /** Ends the session; with an error the connection is thrown away, since what it still does cannot be known. */
  release(error?: unknown): void
}

/** A transaction that is open. Either end gives its connection back. */
export interface PgTransaction extends PgRunner {
  commit(): Promise<void>
  rollBack(): Promise<void>
}

/** One that a user's work runs in. */
export interface PgUserTransaction<Tx> extends PgTransaction {
  /** What handlers and `waybill.transaction` get: the tool's own handle, as far as the guard lets it through. */
  readonly tx: Tx
  readonly guard: Guard
}

/** What a PostgreSQL library must be able to do. */
export interface PgDriver<Tx> extends PgRunner {
  readonly name: string
  /** A connection for Waybill itself. */
  session(): Promise<PgSession>
  /** Begins a transaction for a user's work in the tool's own way, at READ COMMITTED whatever the server's default is. */
  begin(): Promise<PgUserTransaction<Tx>>
  /** The user's own handle; undefined if it is no handle of this library. */
  adopt(handle: unknown): PgAdopted | undefined
  /** Calls back for each notification with its payload, and with none each time the connection is there, at first and after it was lost. */
  listen(channel: string, notified: (payload?: string) => void): () => void
  /** One statement without parameters in a READ COMMITTED transaction of its own, in one round trip where the library can. */
  alone(text: string): Promise<readonly PgRow[]>
  close(): Promise<void>
}

export interface PgAdopted {
  readonly runner: PgRunner
  /** Asked of the handle, never of the server (P32); undefined where it cannot tell. */
  isInTransaction(): boolean | undefined
  /** Calls back once the transaction that is open now has ended, either way; absent where the handle cannot tell. */
  onceEnded?(ended: () => void): void
}

/** The SQLSTATE of a library's error; undefined where the server said nothing. */
export function sqlState(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}
