import { WaybillError } from '../core/errors.ts'
import type { KyselyConnection } from './kysely-connection.ts'
import { type Core, statusOf } from './mysql2-status.ts'

const cores = new WeakMap<object, Promise<Core>>()

/** The connection of mysql2 below one of Kysely's, which keeps it to itself. Asked once in a connection's life. */
export function coreOfKysely(connection: KyselyConnection): Promise<Core> {
  let core = cores.get(connection)
  if (!core) {
    core = find(connection)
    cores.set(connection, core)
    core.catch(() => cores.delete(connection))
  }
  return core
}

/** The command of mysql2 that a statement becomes. */
interface Command {
  readonly _connection: Core
}
interface Header {
  readonly serverStatus: number
}
const inTransaction = 0x0001

/**
 * Kysely hands text and parameters on as they are. mysql2 takes a function in the place of parameters for the callback, and calls it on the
 * command, which knows its connection.
 */
function find(connection: KyselyConnection): Promise<Core> {
  return new Promise((resolve, reject) => {
    function answered(this: Command, error: unknown, header: Header): void {
      if (error) return reject(error as Error)
      const core = this._connection
      statusOf(core).set((header.serverStatus & inTransaction) !== 0)
      resolve(core)
    }
    const statement = { sql: { sql: 'do 0' }, parameters: answered, queryId: { queryId: 'waybill' } }
    const other = (): void =>
      reject(new WaybillError('config.invalid', 'the pool of this Kysely is none of mysql2'))
    connection.executeQuery(statement as never).then(other, reject)
  })
}
