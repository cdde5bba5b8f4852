import type { Kysely, KyselyPlugin } from 'kysely'
import type { PgAnswer, PgValue } from '../stores/postgres/driver.ts'
import { bindable, types } from './pg-pool.ts'

/** A `Kysely`, or one of its transactions, of whatever tables. */
export type AnyKysely = Pick<
  Kysely<any>,
  'connection' | 'executeQuery' | 'getExecutor' | 'isTransaction' | 'startTransaction' | 'withoutPlugins'
>

/** Runs a statement past the user's plugins, which may rename columns. */
export async function askKysely(on: AnyKysely, text: string, params: readonly PgValue[]): Promise<PgAnswer> {
  const { rows, numAffectedRows } = await on.withoutPlugins().executeQuery<{ command?: string }>({
    sql: withTypes(text),
    parameters: params.map(bindable),
    query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
    queryId: { queryId: 'waybill' },
  })
  return { rows, affected: Number(numAffectedRows ?? rows.length), command: rows[0]?.command }
}

/** Kysely hands the text on as it is, and `pg` takes a text with types for a QueryConfig: the user's parsers are not asked. */
function withTypes(text: string): string {
  return Object.assign(new String(text), { text, types }) as unknown as string
}

export function isKysely(handle: unknown): handle is AnyKysely {
  const { isTransaction, getExecutor, withoutPlugins } = (handle ?? {}) as Partial<AnyKysely>
  return (
    typeof isTransaction === 'boolean' &&
    typeof getExecutor === 'function' &&
    typeof withoutPlugins === 'function'
  )
}

/** What a transaction may do, of whatever database. */
interface Guard {
  check(sql: string): void
}

/** What Kysely runs statements on. It is the same object for each transaction on that connection. */
export interface KyselyConnection {
  executeQuery(statement: { readonly sql: string }, ...rest: readonly unknown[]): Promise<unknown>
  streamQuery(statement: { readonly sql: string }, ...rest: readonly unknown[]): AsyncIterable<unknown>
}

export async function connectionOf(kysely: AnyKysely): Promise<KyselyConnection> {
  return kysely.getExecutor().provideConnection(async (provided) => provided as unknown as KyselyConnection)
}

/** Guards the connection of a transaction until `stop`: all statements go through it, whatever built them. */
export async function guardConnection(
  transaction: AnyKysely,
  guard: Guard,
  ending: Guard,
): Promise<{ letEnd(): void; stop(): void }> {
  const connection = await connectionOf(transaction)
  const { executeQuery, streamQuery } = connection
  let now = guard
  connection.executeQuery = async (statement, ...rest) => {
    now.check(String(statement.sql))
    return executeQuery.call(connection, statement, ...rest)
  }
  connection.streamQuery = (statement, ...rest) => {
    now.check(String(statement.sql))
    return streamQuery.call(connection, statement, ...rest)
  }
  return {
    letEnd: () => {
      now = ending
    },
    stop: () => {
      Object.assign(connection, { executeQuery, streamQuery })
    },
  }
}

/** Sees what is built on a transaction before it is run. */
export function pluginOf(guard: { checkOpen(): void }): KyselyPlugin {
  return {
    transformQuery: ({ node }) => {
      guard.checkOpen()
      return node
    },
    transformResult: async ({ result }) => result,
  }
}
