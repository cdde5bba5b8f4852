import { createRequire } from 'node:module'
import type { Pool } from 'pg'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { pg } from './pg.ts'

/** A few: tools ask one thing after the other. */
const connectionsMax = 4

/**
 * A PostgreSQL database by its URL, for tools: with a pool of its own, which ends with it. `?schema=name` says where Waybill's tables are.
 * @throws WaybillError `config.invalid`; when it is opened `store.driver-missing`
 */
export function pgUrl(url: string): Database<any, 'async'> {
  const { connectionString, schema } = parsed(url)
  return {
    mode: 'async',
    dialect: 'postgres',
    open: (ports, options) => {
      const pool = new (loadPool())({ connectionString, max: connectionsMax })
      // A connection that breaks while it is idle would otherwise end the process.
      pool.on('error', (error) => ports.log.warn({ err: error }, 'a connection to PostgreSQL was lost'))
      const database = pg(pool, schema === null ? {} : { schema }).open(ports, options)
      const closing = database.close.bind(database)
      let ended: Promise<void> | undefined
      database.close = () => (ended ??= closing().then(() => pool.end()))
      return database
    },
  }
}

export function schemaOf(url: string): string {
  return parsed(url).schema ?? 'public'
}

function parsed(url: string): { readonly connectionString: string; readonly schema: string | null } {
  const parts = URL.parse(url)
  if (!parts) throw new WaybillError('config.invalid', 'this is no URL of a PostgreSQL database')
  const schema = parts.searchParams.get('schema')
  parts.searchParams.delete('schema')
  return { connectionString: parts.href, schema }
}

function loadPool(): typeof Pool {
  try {
    return (createRequire(import.meta.url)('pg') as { Pool: typeof Pool }).Pool
  } catch (cause) {
    throw new WaybillError(
      'store.driver-missing',
      'the package pg cannot be loaded; run: npm install pg',
      { library: 'pg' },
      { cause },
    )
  }
}
