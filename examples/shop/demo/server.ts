/** A database server as the controller sees it: it makes the run's databases there, and looks into them. */

export type Row = Readonly<Record<string, unknown>>

export interface Connected {
  query(statement: string): Promise<readonly Row[]>
  end(): Promise<void>
}

export type Dialect = 'postgres' | 'mysql'

/** The controller asks one thing after the other. */
const connectionsMax = 1

export const dialectOf = (url: string): Dialect => (url.startsWith('postgres') ? 'postgres' : 'mysql')

export function connect(url: string): Promise<Connected> {
  return dialectOf(url) === 'postgres' ? connectToPostgres(url) : connectToMysql(url)
}

async function connectToPostgres(url: string): Promise<Connected> {
  const { Pool } = await import('pg')
  const pool = new Pool({ connectionString: url, max: connectionsMax })
  // Without a listener, a connection that breaks while it is idle ends the process.
  pool.on('error', () => undefined)
  return {
    query: async (statement) => (await pool.query<Row>(statement)).rows,
    end: () => pool.end(),
  }
}

async function connectToMysql(url: string): Promise<Connected> {
  const { createPool } = await import('mysql2/promise')
  const pool = createPool({ uri: url.replace(/^mariadb:/, 'mysql:'), connectionLimit: connectionsMax })
  return {
    query: async (statement) => (await pool.query(statement))[0] as unknown as readonly Row[],
    end: () => pool.end(),
  }
}
