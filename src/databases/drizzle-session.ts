/** A database of Drizzle, of whatever schema. */
export interface DrizzleLike<Tx> {
  transaction<R>(work: (tx: Tx) => Promise<R>, ...rest: any[]): Promise<R>
}

/** What Drizzle runs its statements on: of the root, or the connection of a transaction. */
export interface Session {
  client: object
}

export function sessionOf(handle: unknown): Session | undefined {
  const { session } = (handle ?? {}) as { readonly session?: Session }
  return session?.client ? session : undefined
}

export function isTransaction(handle: unknown): boolean {
  return typeof (handle as { readonly rollback?: unknown }).rollback === 'function'
}
