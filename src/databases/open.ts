import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { migrationScript as mysqlScript } from '../stores/mysql/migrate.ts'
import { migrationScript as postgresScript } from '../stores/postgres/migrate.ts'
import { migrationScript as sqliteScript } from '../stores/sqlite/migrate.ts'
import { betterSqlite3 } from './better-sqlite3.ts'
import { libsql } from './libsql.ts'
import { databaseOf, mysqlUrl } from './mysql-url.ts'
import { pgUrl, schemaOf } from './pg-url.ts'
import { sqlite } from './sqlite.ts'

interface Scheme {
  readonly open: (url: string) => Database<any, 'sync' | 'async'>
  readonly script: (url: string) => string
}

const inFile = (at: (path: string) => Database<any, 'sync'>): Scheme => ({
  open: (url) => at(url.slice(url.indexOf(':') + 1)),
  script: sqliteScript,
})
const postgres: Scheme = { open: pgUrl, script: (url) => postgresScript(schemaOf(url)) }

const schemes: Readonly<Record<string, Scheme>> = {
  sqlite: inFile(sqlite),
  libsql: inFile(libsql),
  'better-sqlite3': inFile(betterSqlite3),
  postgres,
  postgresql: postgres,
  mysql: { open: mysqlUrl, script: (url) => mysqlScript(databaseOf(url), false) },
  mariadb: { open: mysqlUrl, script: (url) => mysqlScript(databaseOf(url), true) },
}

/**
 * A database by its URL, for tools: `sqlite:order.db`, `libsql:order.db`, `better-sqlite3:order.db`,
 * `postgres://user@host/database?schema=name`, `mysql://user@host/database`, `mariadb://user@host/database`.
 * @throws WaybillError `config.invalid`
 */
export function openUrl(url: string): Database<any, 'sync' | 'async'> {
  return schemeOf(url).open(url)
}

/** The SQL that creates Waybill's tables in such a database, for people who apply it themselves. */
export function migrationSql(url: string): string {
  return schemeOf(url).script(url)
}

/** The URL as it may be shown: without its password. */
export function withoutPassword(url: string): string {
  return url.replace(/^(\w+:\/\/[^/:@]*):[^@]*@/, '$1@')
}

function schemeOf(url: string): Scheme {
  const at = url.indexOf(':')
  const name = url.slice(0, at)
  if (at > 0 && Object.hasOwn(schemes, name)) return schemes[name]!
  throw new WaybillError(
    'config.invalid',
    `${JSON.stringify(withoutPassword(url))} is no database URL; write sqlite:PATH, libsql:PATH, better-sqlite3:PATH, postgres://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or mariadb://USER@HOST/DATABASE, such as sqlite:order.db`,
  )
}
