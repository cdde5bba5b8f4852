import { type Pool as MyPool, type PoolConnection, createPool } from 'mysql2/promise'
import { Pool, type PoolClient } from 'pg'
import postgres, { type Sql, type TransactionSql } from 'postgres'
import { mysql2 } from 'waybill/mysql2'
import { pg } from 'waybill/pg'
import { postgresJs } from 'waybill/postgres-js'
import type { ServiceName } from '../../../scripts/services/index.ts'
import type { Database } from '../../../src/core/database.ts'

export type Row = Readonly<Record<string, unknown>>
/** What a transaction is for the library at hand. */
export type Tx = PoolClient | PoolConnection | TransactionSql

/** A pool of connections to one database, whichever it is. SQL has `?` for parameters. */
export interface Handle {
  readonly database: Database<Tx, 'async'>
  /** Outside of any transaction. */
  query(sql: string, ...params: readonly unknown[]): Promise<readonly Row[]>
  /** In the transaction of that handle. */
  on(tx: Tx, sql: string, ...params: readonly unknown[]): Promise<readonly Row[]>
  /** A connection of the pool, for the test's own use. What is open on it at the end of the block is rolled back. */
  take(): Promise<Taken>
  end(): Promise<void>
}

export interface Taken extends AsyncDisposable {
  readonly tx: Tx
}

export interface HandleOptions {
  readonly max?: number
  /** For PostgreSQL. Default 'pg'. */
  readonly library?: 'pg' | 'postgres.js'
  /** Whoever finds all connections taken is refused. */
  readonly impatient?: boolean
  /** As a role or a server may have them: for PostgreSQL like '-c name=value', for MariaDB a SET statement. */
  readonly settings?: string
}

export function handleOf(
  name: ServiceName,
  url: string,
  { max = 12, settings, impatient = false, library }: HandleOptions = {},
): Handle {
  if (name === 'mariadb')
    return overMysql2(
      createPool({ uri: url, connectionLimit: max, waitForConnections: !impatient }),
      settings,
    )
  if (library === 'postgres.js') return overPostgresJs(postgres(url, { max, prepare: false, onnotice() {} }))
  const options = settings === undefined ? {} : { options: settings }
  const patience = impatient ? { connectionTimeoutMillis: 200 } : {}
  return overPg(new Pool({ connectionString: url, max, ...options, ...patience }))
}

function overPg(pool: Pool): Handle {
  // A server that goes away ends idle connections; without a listener that ends the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return {
    database: pg(pool) as unknown as Database<Tx, 'async'>,
    query: async (sql, ...params) => (await pool.query<Row>(numbered(sql), [...params])).rows,
    on: async (tx, sql, ...params) => (await (tx as PoolClient).query<Row>(numbered(sql), [...params])).rows,
    take: async () => {
      const client = await pool.connect()
      return { tx: client, [Symbol.asyncDispose]: async () => client.release(true) }
    },
    end: () => pool.end(),
  }
}

/** As it is used behind a pooler: nothing is prepared. */
function overPostgresJs(sql: Sql): Handle {
  return {
    database: postgresJs(sql) as unknown as Database<Tx, 'async'>,
    query: async (text, ...params) => sql.unsafe(numbered(text), params as never),
    on: async (tx, text, ...params) => (tx as TransactionSql).unsafe(numbered(text), params as never),
    take: () => {
      throw new Error('no transaction can be begun on a connection of postgres.js')
    },
    end: () => sql.end({ timeout: 5 }),
  }
}

function overMysql2(pool: MyPool, settings: string | undefined): Handle {
  pool.on('connection', (connection) => {
    if (settings !== undefined) void connection.query(settings)
  })
  const rowsOf = ([rows]: readonly [unknown, unknown]): readonly Row[] =>
    Array.isArray(rows) ? (rows as readonly Row[]) : []
  return {
    database: mysql2(pool) as unknown as Database<Tx, 'async'>,
    query: async (sql, ...params) => rowsOf(await pool.query(sql, [...params])),
    on: async (tx, sql, ...params) => rowsOf(await (tx as PoolConnection).query(sql, [...params])),
    take: async () => {
      const connection = await pool.getConnection()
      return { tx: connection, [Symbol.asyncDispose]: async () => connection.destroy() }
    },
    end: () => pool.end(),
  }
}

function numbered(sql: string): string {
  let count = 0
  return sql.replaceAll('?', () => `$${++count}`)
}
