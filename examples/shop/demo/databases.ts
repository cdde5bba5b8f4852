/** Where Waybill's side has its databases: files in the run's folder, or databases of the run's own on a server. */

import { randomBytes } from 'node:crypto'
import { databaseUrlOf, filesIn } from '../shared/arguments.ts'
import { groups } from '../shared/order-paid.ts'
import { ShopError } from '../shop-error.ts'
import { connect, dialectOf } from './server.ts'
import { ServerWitness } from './server-witness.ts'
import { type AnyWitness, Witness } from './witness.ts'

/** What `--database` takes besides the URL of a server. */
export const databaseNames = ['sqlite', 'postgres', 'mariadb'] as const

export interface ShopDatabases {
  /** Such as 'PostgreSQL 15.14'. */
  readonly title: string
  /** Where they are, in words. */
  readonly place: string
  /** Makes them, empty. */
  create(): Promise<void>
  /** With `{service}` for the service's name. @param folder the run's, for those that are files */
  url(folder: string): string
  witness(folder: string): Promise<AnyWitness>
  /** Removes them, with whatever was started for them. Files go with their folder. */
  remove(): Promise<void>
}

const services = ['order', 'broker', ...groups] as const

const files: ShopDatabases = {
  title: 'SQLite',
  place: 'a file for each service',
  create: () => Promise.resolve(),
  url: filesIn,
  witness: (folder) => Promise.resolve(new Witness(folder)),
  remove: () => Promise.resolve(),
}

/**
 * @param where a name, or the URL of a server on which we may create databases
 * @param keep a server that is started for this run stays
 */
export async function databasesAt(where: string, keep: boolean): Promise<ShopDatabases> {
  if (where === 'sqlite') return files
  if (where !== 'postgres' && where !== 'mariadb') return await onServer(where, async () => {})
  const { releaseServices, runVariable, startService } = await import('../../../scripts/services/shared.ts')
  const isOurs = !keep && process.env[runVariable] === undefined
  if (isOurs) process.env[runVariable] = `${process.pid}`
  const { url } = await startService(where, (line) => console.log(`${where}: ${line}`))
  return await onServer(url, async () => {
    if (isOurs) await releaseServices(`${process.pid}`)
  })
}

async function onServer(serverUrl: string, release: () => Promise<void>): Promise<ShopDatabases> {
  const isPostgres = dialectOf(serverUrl) === 'postgres'
  // By MySQL's default, the orders 'a' and 'A' would be one.
  const asExpected = isPostgres ? '' : 'character set utf8mb4 collate utf8mb4_bin'
  const quote = isPostgres ? '"' : '`'
  const prefix = `waybill_shop_${randomBytes(4).toString('hex')}_`
  const url = urlOn(serverUrl, prefix)
  const runForEach = async (statement: (database: string) => string): Promise<void> => {
    const server = await connect(serverUrl)
    try {
      for (const service of services) await server.query(statement(`${quote}${prefix}${service}${quote}`))
    } finally {
      await server.end()
    }
  }
  return {
    title: await titleOf(serverUrl),
    place: `databases ${prefix}…`,
    async create() {
      try {
        await runForEach((database) => `create database ${database} ${asExpected}`)
      } catch (cause) {
        throw new ShopError('database.not-created', `the server refused: ${String(cause)}`, { cause })
      }
    },
    url: () => url,
    witness: () => ServerWitness.open(dialectOf(serverUrl), (service) => databaseUrlOf(url, service)),
    async remove() {
      // The sessions of killed processes may be there for a moment longer.
      await runForEach(
        (database) => `drop database if exists ${database}${isPostgres ? ' with (force)' : ''}`,
      )
      await release()
    },
  }
}

/** Not by `URL`, which would escape the braces. */
function urlOn(serverUrl: string, prefix: string): string {
  const { search } = new URL(serverUrl)
  const withPlace = new URL(`/${prefix}`, serverUrl)
  withPlace.search = ''
  return `${withPlace.href}{service}${search}`
}

async function titleOf(serverUrl: string): Promise<string> {
  const server = await connect(serverUrl)
  try {
    const [row] = await server.query('select version() as version').catch((cause: unknown) => {
      const { code = String(cause) } = cause as { code?: string }
      throw new ShopError('database.unreachable', `the server of --database does not answer: ${code}`, {
        cause,
      })
    })
    const version = String(row?.['version'])
    // 'PostgreSQL 15.14 (Debian …) on x86_64-…', '10.11.14-MariaDB-…' or '8.4.3'.
    const number = /\d+(?:\.\d+)*/.exec(version)?.[0] ?? ''
    if (dialectOf(serverUrl) === 'postgres') return `PostgreSQL ${number}`
    return `${version.includes('MariaDB') ? 'MariaDB' : 'MySQL'} ${number}`
  } finally {
    await server.end()
  }
}
