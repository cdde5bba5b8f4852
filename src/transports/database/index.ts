import type { Database } from '../../core/database.ts'
import type { Transport } from '../../core/transport.ts'
import { DatabaseCarrier } from './carrier.ts'

/**
 * Carries messages through another database's log: the relay appends to it, each consuming service reads it like any other log and
 * lands what it finds in its own. With SQLite, one file that all services of a machine can open, and no broker to run.
 *
 * @param options.database the broker database, such as `sqlite('broker.db')`; not one of the services' own
 */
export function databaseTransport(options: {
  database: Database<never, 'sync' | 'async'> | Database<any, any>
}): Transport {
  return {
    name: 'database',
    can: { keepsOrder: true, ordersRetries: true, durable: true, rewinds: true },
    open: async (context) => {
      const broker = options.database.open(context.ports, { service: context.service, migrate: 'auto' })
      await broker.ready()
      return new DatabaseCarrier(broker, context)
    },
  }
}
