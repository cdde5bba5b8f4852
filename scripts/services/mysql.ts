import { execFileSync } from 'node:child_process'
import { ServiceError } from './errors.ts'
import { findProgram } from './install.ts'
import { mariadb, serverFolders, sharedArguments } from './mariadb.ts'
import { type Place, type Programs, type ServerKind, runProgram } from './server.ts'

/** MySQL itself in the place of MariaDB: WAYBILL_TEST_ON_MYSQL=1. It is not installed: Debian's package of it would replace MariaDB's. */
export const mysql: ServerKind = {
  ...mariadb,
  title: 'MySQL',
  variable: 'WAYBILL_TEST_MYSQL_URL',
  packages: [],
  findPrograms,
  initialize,
  // Neither its second protocol, nor a folder that a package would have made.
  arguments: (place) => [...sharedArguments(place), '--mysqlx=OFF', '--secure-file-priv=NULL'],
}

function findPrograms(): Programs {
  const server = findProgram('mysqld', serverFolders)
  if (server !== undefined && isMysql(server)) return { server, initialize: server }
  throw new ServiceError(
    'services.not-installed',
    'there is no mysqld of MySQL that works in PATH; put one there, or set WAYBILL_TEST_MYSQL_URL to a server of yours',
  )
}

/** MariaDB has a program of this name as well. */
function isMysql(server: string): boolean {
  try {
    return !/mariadb/i.test(execFileSync(server, ['--version'], { encoding: 'utf8' }))
  } catch {
    return false
  }
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
