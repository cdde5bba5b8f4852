/** What the tests of the services need of both databases. */
import { createConnection } from 'mysql2/promise'
import { Client } from 'pg'
import type { ServiceName } from './index.ts'

export type Row = Readonly<Record<string, unknown>>

export interface Session extends AsyncDisposable {
  query(sql: string): Promise<readonly Row[]>
}

export async function connect(name: ServiceName, url: string): Promise<Session> {
  return name === 'postgres' ? connectToPostgres(url) : connectToMariadb(url)
}

async function connectToPostgres(url: string): Promise<Session> {
  const client = new Client({ connectionString: url })
  // The tests kill its server.
  client.on('error', () => {})
  await client.connect()
  return {
    query: async (sql) => (await client.query<Row>(sql)).rows,
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  }
}

async function connectToMariadb(url: string): Promise<Session> {
  const connection = await createConnection(url)
  connection.on('error', () => {})
  return {
    query: async (sql) => (await connection.query(sql))[0] as unknown as readonly Row[],
    [Symbol.asyncDispose]: async () => connection.destroy(),
  }
}

/** One statement in a session of its own. */
export async function ask(name: ServiceName, url: string, sql: string): Promise<readonly Row[]> {
  await using session = await connect(name, url)
  return await session.query(sql)
}
