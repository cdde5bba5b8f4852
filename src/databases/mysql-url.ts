import { createRequire } from 'node:module'
import type * as mysql from 'mysql2/promise'
import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { mysql2 } from './mysql2.ts'

/** A few: tools ask one thing after the other. */
const connectionsMax = 4

/**
 * A MySQL or MariaDB database by its URL, for tools: with a pool of its own, which ends with it.
 * @throws WaybillError `config.invalid`; when it is opened `store.driver-missing`
 */
export function mysqlUrl(url: string): Database<any, 'async'> {
  databaseOf(url)
  return {
    mode: 'async',
    dialect: 'mysql',
    open: (ports, options) => {
      const uri = url.replace(/^mariadb:/, 'mysql:')
      const pool = load().createPool({ uri, connectionLimit: connectionsMax })
      const database = mysql2(pool).open(ports, options)
      const closing = database.close.bind(database)
      let ended: Promise<void> | undefined
      database.close = () => (ended ??= closing().then(() => pool.end()))
      return database
    },
  }
}

/** The name of the database in the URL. */
export function databaseOf(url: string): string {
  const name = decodeURIComponent(URL.parse(url)?.pathname.slice(1) ?? '')
  if (name !== '') return name
  throw new WaybillError(
    'config.invalid',
    'this is no URL of a MySQL database; write mysql://USER@HOST/DATABASE',
  )
}

function load(): typeof mysql {
  try {
    return createRequire(import.meta.url)('mysql2/promise') as typeof mysql
  } catch (cause) {
    throw new WaybillError(
      'store.driver-missing',
      'the package mysql2 cannot be loaded; run: npm install mysql2',
      { library: 'mysql2' },
      { cause },
    )
  }
}
