import type { Ports } from '../../core/ports.ts'
import { movedWarning } from '../sql/epochs.ts'
import type { Server } from '../sql/server.ts'
import { SqlStore, type SqlStoreParts } from '../sql/store.ts'
import type { PgAccess } from './access.ts'
import type { PgConnection } from './connection.ts'
import { cancelDelayed, moveDue } from './delayed.ts'
import * as dispositions from './dispositions.ts'
import { facts } from './facts.ts'
import { decideHalf, takeChecks } from './halves.ts'
import { collisionsOf, land, parkLogged } from './landing.ts'
import * as leases from './leases.ts'
import * as log from './log.ts'
import { append, takeDedupKeys } from './publishing.ts'
import { purgePortion } from './purge.ts'
import { search } from './search.ts'
import type { Sequencing } from './sequencing.ts'
import { Topics } from './topics.ts'

export interface PostgresStoreParts<Tx> extends SqlStoreParts<Tx, PgConnection> {
  readonly sequencing: Sequencing
}

/** The store on PostgreSQL: rows of the log are written once and never updated. */
export class PostgresStore<Tx> extends SqlStore<Tx, PgConnection> {
  constructor(parts: PostgresStoreParts<Tx>) {
    super(parts, serverOf(parts.access, parts.sequencing, parts.ports))
  }
}

function serverOf(access: PgAccess, sequencing: Sequencing, ports: Ports): Server<PgConnection> {
  const topics = new Topics(access.read)
  return {
    can: { clock: 'database', wakeUps: 'notify', sharedByProcesses: true },
    sequencing,
    topics,
    leases,
    log: {
      read: (connection, lease, after, limit, order) =>
        log.read(connection, sequencing, lease, after, limit, order),
      peek: (connection, lease, after) => log.peek(connection, sequencing, lease, after),
      advance: log.advance,
      advanceRelayed: (lease, position, relayed) => log.advanceRelayed(access.read, lease, position, relayed),
    },
    dispositions: {
      ...dispositions,
      lockKeys: async (connection, keys) => {
        for (const { group, ...key } of keys) await dispositions.lockKey(connection, group, key)
      },
    },
    facts: facts(access, sequencing),
    append,
    takeDedupKeys,
    share: async (owner, readers, leaseMs) => {
      if (await sequencing.rebase()) ports.log.warn({}, movedWarning)
      return access.write((connection) => leases.share(connection, owner, readers, leaseMs))
    },
    outlook: (owner) => sequencing.outlook(owner),
    land: (connection, batch) => land(connection, topics, batch),
    collisionsOf,
    parkLogged,
    // One statement is a transaction.
    moveDue: (lease, now, limit) => moveDue(access.read, lease, now, limit),
    cancelDelayed,
    decideHalf,
    takeChecks: (service, names, until, limit) => takeChecks(access.read, service, names, until, limit),
    search: (query) => search(access, sequencing, query),
    lag: () => log.lag(access.read, sequencing),
    purge: (before, receiptsBefore) => purgePortion(access, before, receiptsBefore),
  }
}
