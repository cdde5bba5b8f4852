/** Databases for tests on a shared server: each test makes its own, so that tests do not see each other. */
import { randomBytes } from 'node:crypto'
import { createConnection } from 'mysql2/promise'
import { Client } from 'pg'
import type { ServiceName } from './state.ts'

export interface TestDatabase extends AsyncDisposable {
  readonly name: string
  readonly url: string
  /** Ends the sessions that are left in it, and removes it. */
  drop(): Promise<void>
}

/** Makes an empty database on the server of that URL. `await using` drops it at the end of the block. */
export async function freshDatabase(service: ServiceName, serverUrl: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`
  const run = service === 'postgres' ? runOnPostgres : runOnMariadb
  await run(serverUrl, `create database ${name}`)
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  const drop = (): Promise<void> =>
    run(serverUrl, `drop database if exists ${name}${service === 'postgres' ? ' with (force)' : ''}`)
  return { name, url: url.href, drop, [Symbol.asyncDispose]: drop }
}

async function runOnPostgres(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

async function runOnMariadb(url: string, statement: string): Promise<void> {
  const connection = await createConnection(url)
  try {
    await connection.query(statement)
  } finally {
    await connection.end()
  }
}
