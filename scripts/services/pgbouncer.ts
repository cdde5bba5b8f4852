import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram } from './install.ts'
import { askPostgres } from './postgres.ts'
import type { Place, Programs, ServerKind } from './server.ts'

/** Not in everybody's PATH. */
const serverFolders = ['/usr/sbin', '/usr/local/sbin']

/** Few connections to the server for many clients, so that these really share them. */
const transactionMode: Readonly<Record<string, string>> = {
  pool_mode: 'transaction',
  default_pool_size: '4',
  max_client_conn: '200',
}

/**
 * The pooler before a PostgreSQL server, whose URL is the setting `upstream`. Its other settings are PgBouncer's own. It is no server
 * to share: each test has its own before the server that it uses.
 */
export const pgbouncer: ServerKind = {
  name: 'pgbouncer',
  title: 'PgBouncer',
  variable: 'WAYBILL_TEST_POSTGRES_URL',
  packages: ['pgbouncer'],
  systemUsers: ['postgres', 'nobody'],
  // At once: SIGINT would wait until the clients leave by themselves.
  stopSignal: 'SIGTERM',
  findPrograms,
  initialize: async () => {},
  arguments: (place) => [writeConfiguration(place)],
  url,
  ask: askPostgres,
}

function findPrograms(): Programs | undefined {
  const server = findProgram('pgbouncer', serverFolders)
  return server === undefined ? undefined : { server, initialize: server }
}

function url({ settings, port }: Place): string {
  const through = new URL(settings['upstream']!)
  through.port = `${port}`
  return through.href
}

/** Clients show the same password as the server asks for. */
function writeConfiguration(place: Place): string {
  const { upstream, ...given } = place.settings
  const { hostname, port, username, password } = new URL(upstream!)
  const users = writeFor(place, 'users.txt', `"${username}" "${password}"\n`)
  const settings = {
    ...transactionMode,
    ...given,
    listen_addr: '127.0.0.1',
    listen_port: `${place.port}`,
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: users,
    ignore_startup_parameters: 'extra_float_digits,options',
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`)
  const text = `[databases]\n* = host=${hostname} port=${port}\n[pgbouncer]\n${lines.join('\n')}\n`
  return writeFor(place, 'pgbouncer.ini', text)
}

/** In the data folder, whose name tells the process from others. */
function writeFor({ dataFolder, runAs }: Place, name: string, text: string): string {
  const file = join(dataFolder, name)
  writeFileSync(file, text, { mode: 0o600 })
  if (runAs !== undefined) chownSync(file, runAs.uid, runAs.gid)
  return file
}
