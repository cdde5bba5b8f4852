import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { findFolderOf, findProgram } from './install.ts'
import { type Place, type Programs, type ServerKind, runProgram } from './server.ts'

/** Not in everybody's PATH. */
export const serverFolders = ['/usr/sbin', '/usr/local/sbin', '/usr/libexec']
const user = 'waybill'
const database = 'waybill'
const answerWithinMs = 10_000

const durable: Readonly<Record<string, string>> = {
  'innodb-flush-log-at-trx-commit': '1',
  'character-set-server': 'utf8mb4',
  'max-connections': '300',
  'innodb-buffer-pool-size': '256M',
}

export const mariadb: ServerKind = {
  name: 'mariadb',
  title: 'MariaDB',
  variable: 'WAYBILL_TEST_MARIADB_URL',
  // The programs alone. "mariadb-server" would add a service of the system, its data and its user.
  packages: ['mariadb-server-core', 'mariadb-client-core'],
  systemUsers: ['mysql', 'nobody'],
  stopSignal: 'SIGTERM',
  findPrograms,
  initialize,
  arguments: sharedArguments,
  url: ({ password, port }) => `mysql://${user}:${password}@127.0.0.1:${port}/${database}`,
  ask,
}

function findPrograms(): Programs | undefined {
  const server = findProgram('mariadbd', serverFolders)
  // The second is what the first calls; Debian has it in another package.
  const folder = findFolderOf(['mariadb-install-db', 'my_print_defaults'])
  return server === undefined || folder === undefined
    ? undefined
    : { server, initialize: join(folder, 'mariadb-install-db') }
}

async function initialize(place: Place): Promise<void> {
  await runProgram(place, place.programs.initialize, [
    // First, as the program demands: the machine's own my.cnf is about another server.
    '--no-defaults',
    `--datadir=${place.dataFolder}`,
    // The machine may not be able to look up its own name.
    '--skip-name-resolve',
    '--force',
    '--skip-test-db',
    // root gets no password that is valid, and a socket that does not exist: only our own user gets in.
    '--auth-root-authentication-method=socket',
    '--auth-root-socket-user=root',
  ])
}

/** What MySQL understands as well. */
export function sharedArguments(place: Place): readonly string[] {
  const settings = {
    ...durable,
    ...place.settings,
    datadir: place.dataFolder,
    port: `${place.port}`,
    'bind-address': '127.0.0.1',
    // No socket file: its path may be too long, and nobody needs it.
    socket: '',
    'pid-file': join(place.runFolder, 'server.pid'),
    tmpdir: place.runFolder,
    'init-file': writeInitFile(place),
  }
  return [
    '--no-defaults',
    '--skip-name-resolve',
    ...Object.entries(settings).map(([key, value]) => `--${key}=${value}`),
  ]
}

/** Runs at every start before anybody may connect. Each statement is on a line of its own, as the server demands. */
function writeInitFile(place: Place): string {
  const file = join(place.runFolder, 'init.sql')
  const statements = [
    `create user if not exists ${user}@'127.0.0.1' identified by '${place.password}';`,
    `grant all on *.* to ${user}@'127.0.0.1' with grant option;`,
    `create database if not exists ${database};`,
  ]
  writeFileSync(file, `${statements.join('\n')}\n`, { mode: 0o600 })
  if (place.runAs !== undefined) chownSync(file, place.runAs.uid, place.runAs.gid)
  return file
}

async function ask(url: string): Promise<void> {
  const connection = await createConnection({ uri: url, connectTimeout: answerWithinMs })
  connection.on('error', () => {})
  try {
    await connection.query('select 1')
    await connection.end()
  } finally {
    connection.destroy()
  }
}
