import type { Knex } from 'knex'

/** What is needed of `knex.client`; that of a transaction answers its one connection. */
export interface KnexClient<Connection> {
  readonly config: { readonly client?: unknown }
  /** Not there if the user gives a function for them. */
  readonly connectionSettings?: Readonly<Record<'host' | 'port' | 'database', unknown>>
  acquireConnection(): Promise<Connection>
  releaseConnection(connection: Connection): Promise<void>
  query(connection: Connection, statement: unknown): Promise<unknown>
}

/** What Knex itself marks a broken connection with, so that its pool throws it away. */
export interface Disposable {
  __knex__disposed?: unknown
}

export function isKnex(handle: unknown): handle is Knex {
  return typeof handle === 'function' && Boolean((handle as Partial<Knex>).client)
}

/** The log must be in the database of the business change, or they would not commit together. */
export function placeOf({ connectionSettings }: KnexClient<unknown>): string {
  return JSON.stringify([connectionSettings?.host, connectionSettings?.port, connectionSettings?.database])
}

/** Knex refuses them too, with an error of its own. */
export function refuseWhenCompleted(tx: Knex.Transaction, refuse: () => void): void {
  const client = tx.client as KnexClient<unknown>
  const query = client.query.bind(client)
  client.query = async (connection, statement) => {
    if (tx.isCompleted()) refuse()
    return query(connection, statement)
  }
}

/** While the transaction is open, Knex has nothing else on its connection. Answers how to take it back. */
export function override<Connection extends object>(
  connection: Connection,
  name: 'query' | 'execute',
  value: unknown,
): () => void {
  const own = Object.getOwnPropertyDescriptor(connection, name)
  Object.defineProperty(connection, name, { configurable: true, value })
  return () => {
    if (own) Object.defineProperty(connection, name, own)
    else Reflect.deleteProperty(connection, name)
  }
}

/** Ends a transaction as Knex does it. */
export async function end(tx: Knex.Transaction, how: 'commit' | 'rollback'): Promise<void> {
  await tx[how]()
  if (how === 'commit') await tx.executionPromise
}
