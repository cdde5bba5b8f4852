import type { SqliteAccess } from './access.ts'
import type { SqliteConnection } from './driver.ts'

/** Several statements that see the same moment. Over before anything else runs: it must not hold up the WAL (P15). */
export function inSnapshot<R>({ read }: SqliteAccess, work: (connection: SqliteConnection) => R): R {
  return read((connection) => {
    connection.exec('begin')
    try {
      return work(connection)
    } finally {
      if (connection.isTransaction) connection.exec('commit')
    }
  })
}
