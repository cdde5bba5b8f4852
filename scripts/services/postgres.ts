import { chownSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { findFolderOf } from './install.ts'
import { type Place, type Programs, type ServerKind, runProgram } from './server.ts'

/** Debian keeps the server's programs out of PATH, one folder for each major version. */
const debianFolder = '/usr/lib/postgresql'
const user = 'waybill'
const answerWithinMs = 10_000

const durable: Readonly<Record<string, string>> = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_level: 'logical',
  max_prepared_transactions: '100',
  max_connections: '300',
  shared_buffers: '256MB',
}

export const postgres: ServerKind = {
  name: 'postgres',
  title: 'PostgreSQL',
  variable: 'WAYBILL_TEST_POSTGRES_URL',
  packages: ['postgresql'],
  systemUsers: ['postgres', 'nobody'],
  // Its "fast" shutdown: ends the sessions. SIGTERM would wait until the clients leave by themselves.
  stopSignal: 'SIGINT',
  findPrograms,
  initialize,
  arguments: serverArguments,
  url: ({ password, port }) => `postgres://${user}:${password}@127.0.0.1:${port}/postgres`,
  ask: askPostgres,
}

function findPrograms(): Programs | undefined {
  const folder = findFolderOf(['initdb', 'postgres'], debianFolders())
  return folder === undefined
    ? undefined
    : { initialize: join(folder, 'initdb'), server: join(folder, 'postgres') }
}

/** The newest version first. */
function debianFolders(): readonly string[] {
  try {
    return readdirSync(debianFolder)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => join(debianFolder, version, 'bin'))
  } catch {
    return []
  }
}

async function initialize(place: Place): Promise<void> {
  const passwordFile = join(place.runFolder, 'password')
  writeFileSync(passwordFile, `${place.password}\n`, { mode: 0o600 })
  if (place.runAs !== undefined) chownSync(passwordFile, place.runAs.uid, place.runAs.gid)
  await runProgram(place, place.programs.initialize, [
    '-D',
    place.dataFolder,
    `--username=${user}`,
    `--pwfile=${passwordFile}`,
    // Not "trust": every user of this machine reaches a loopback port, and a superuser may run programs.
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--data-checksums',
    // Only the making of the empty data is not synced; the server that runs on it syncs.
    '--no-sync',
  ])
  rmSync(passwordFile)
}

function serverArguments(place: Place): readonly string[] {
  const settings = {
    ...durable,
    ...place.settings,
    listen_addresses: '127.0.0.1',
    port: `${place.port}`,
    // No socket file: its path may be too long, and nobody needs it.
    unix_socket_directories: '',
  }
  // As arguments, which win over the file in the data folder: a copied folder may be started with other settings.
  return [
    '-D',
    place.dataFolder,
    ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
  ]
}

export async function askPostgres(url: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: answerWithinMs })
  // The server may go away between two calls; without a listener that ends the process.
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
  } finally {
    await client.end().catch(() => {})
  }
}
