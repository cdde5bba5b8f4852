import { execFileSync } from 'node:child_process'
import { findProgram } from './install.ts'
import { mariadb, serverFolders, sharedArguments } from './mariadb.ts'
import { type Place, type Programs, type ServerKind, runProgram } from './server.ts'

/** MySQL itself in the place of MariaDB: WAYBILL_TEST_ON_MYSQL=1. */
export const mysql: ServerKind = {
  ...mariadb,
  title: 'MySQL',
  variable: 'WAYBILL_TEST_MYSQL_URL',
  packages: ['mysql-server-core'],
  findPrograms,
  initialize,
  // Neither its second protocol, nor a folder that a package would have made.
  arguments: (place) => [...sharedArguments(place), '--mysqlx=OFF', '--secure-file-priv=NULL'],
}

/** MariaDB has a program of this name as well. */
function findPrograms(): Programs | undefined {
  const server = findProgram('mysqld', serverFolders)
  if (server === undefined) return undefined
  const version = execFileSync(server, ['--version'], { encoding: 'utf8' })
  return /mariadb/i.test(version) ? undefined : { server, initialize: server }
}

async function initialize(place: Place): Promise<void> {
  await runProgram(place, place.programs.initialize, [
    '--no-defaults',
    // With a password for root that nobody reads: only our own user gets in.
    '--initialize',
    `--datadir=${place.dataFolder}`,
    '--character-set-server=utf8mb4',
  ])
}
