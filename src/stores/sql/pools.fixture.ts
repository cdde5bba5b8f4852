import { createPool } from 'mysql2/promise'
import { Pool } from 'pg'
import { mysql2 } from '../../databases/mysql2.ts'
import { pg } from '../../databases/pg.ts'

interface OpenedPool {
  /** Typed as PostgreSQL's, so that one test can use either. */
  readonly handle: ReturnType<typeof pg>
  readonly rows: (sql: string) => Promise<Record<string, unknown>[]>
  readonly close: () => Promise<void>
}

export function openPool(kind: 'postgres' | 'mariadb', url: string): OpenedPool {
  return kind === 'postgres' ? onPostgres(url) : onMariadb(url)
}

function onPostgres(url: string): OpenedPool {
  const pool = new Pool({ connectionString: url })
  // Idle connections, when the database is dropped.
  pool.on('error', () => {})
  return {
    handle: pg(pool),
    rows: async (sql) => (await pool.query(sql)).rows,
    close: () => pool.end(),
  }
}

function onMariadb(url: string): OpenedPool {
  const pool = createPool(url)
  return {
    handle: mysql2(pool) as unknown as ReturnType<typeof pg>,
    rows: async (sql) => (await pool.query(sql))[0] as Record<string, unknown>[],
    close: () => pool.end(),
  }
}
