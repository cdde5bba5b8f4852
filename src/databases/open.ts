import type { Database } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import { migrationScript } from '../stores/sqlite/migrate.ts'
import { betterSqlite3 } from './better-sqlite3.ts'
import { libsql } from './libsql.ts'
import { sqlite } from './sqlite.ts'

const schemes = { sqlite, libsql, 'better-sqlite3': betterSqlite3 } as const

/**
 * A database by its URL, for tools: `sqlite:order.db`, `libsql:order.db`, `better-sqlite3:order.db`.
 * @throws WaybillError `config.invalid`
 */
export function openUrl(url: string): Database<any, 'sync'> {
  const [scheme, path] = split(url)
  return schemes[scheme](path)
}

/** The SQL that creates Waybill's tables in such a database, for people who apply it themselves. */
export function migrationSql(url: string): string {
  split(url)
  return migrationScript()
}

function split(url: string): readonly [keyof typeof schemes, string] {
  const at = url.indexOf(':')
  const scheme = url.slice(0, at)
  if (at > 0 && Object.hasOwn(schemes, scheme)) return [scheme as keyof typeof schemes, url.slice(at + 1)]
  throw new WaybillError(
    'config.invalid',
    `${JSON.stringify(url)} is no database URL; write ${Object.keys(schemes).join(':PATH, ')}:PATH, such as sqlite:order.db`,
  )
}
