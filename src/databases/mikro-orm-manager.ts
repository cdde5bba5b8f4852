import type { AnyKysely } from './kysely-connection.ts'

/** What is used of MikroORM, whatever the database. */
export interface Orm {
  readonly em: Manager & { fork(): Manager }
}

export interface Manager {
  begin(options: { isolationLevel: string }): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  flush(): Promise<void>
  isInTransaction(): boolean
  getTransactionContext(): unknown
  setTransactionContext(context: unknown): void
  getConnection(): {
    getConnectionOptions(): object
    getNativeClient(): Promise<unknown>
  }
}

/** Begins a transaction for a user's work. */
export async function begunManager({ em }: Orm): Promise<Manager> {
  const tx = em.fork()
  await tx.begin({ isolationLevel: 'read committed' })
  return tx
}

export function isManager(handle: unknown): handle is Manager {
  const { getTransactionContext, isInTransaction } = (handle ?? {}) as Partial<Manager>
  return typeof getTransactionContext === 'function' && typeof isInTransaction === 'function'
}

/** MikroORM's transactions are those of the Kysely inside of it. */
export function contextOf(em: Manager): AnyKysely | undefined {
  return em.getTransactionContext() as AnyKysely | undefined
}

/** For a manager whose transaction is over: without one, MikroORM would run what comes late in a transaction of its own. */
export function refusingContext(refuse: () => void): never {
  return { isTransaction: true, executeQuery: async () => refuse() } as never
}

/** The log must be in the database of the business change, or they would not commit together. */
export function placeOf(em: Manager): string {
  const { host, port, database } = em.getConnection().getConnectionOptions() as Record<string, unknown>
  return JSON.stringify([host, port, database])
}
