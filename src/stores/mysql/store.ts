import type { Ports } from '../../core/ports.ts'
import { nextDelayed } from '../sql/delayed.ts'
import { movedWarning } from '../sql/epochs.ts'
import type { Server } from '../sql/server.ts'
import { SqlStore, type SqlStoreParts } from '../sql/store.ts'
import type { MyAccess } from './access.ts'
import { claim } from './claiming.ts'
import type { MyConnection } from './connection.ts'
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
import { Sequencing } from './sequencing.ts'
import { Topics } from './topics.ts'

/** The store on MySQL and MariaDB. */
export class MysqlStore<Tx> extends SqlStore<Tx, MyConnection> {
  constructor(parts: SqlStoreParts<Tx, MyConnection>) {
    super(parts, serverOf(parts.access, parts.ports))
  }
}

/** 48 bits, below 2^53 with room for every claim that follows. */
const tokenDigits = 12

function serverOf(access: MyAccess, ports: Ports): Server<MyConnection> {
  const sequencing = new Sequencing(access, ports)
  const topics = new Topics(access.read)
  // Of the last claim. Begins anywhere in a space of which all claims of a store's life take next to nothing.
  let token = Number.parseInt(ports.digest(ports.ids.epoch()).slice(0, tokenDigits), 16)
  return {
    can: { clock: 'database', wakeUps: 'poll', sharedByProcesses: true },
    sequencing,
    topics,
    leases,
    log: {
      read: (connection, lease, after, limit, order) =>
        log.read(connection, sequencing, lease, after, limit, order),
      peek: (connection, lease, after) => log.peek(connection, sequencing, lease, after),
      advance: log.advance,
      advanceRelayed: (lease, position, relayed) =>
        access.write((connection) => log.advanceRelayed(connection, lease, position, relayed)),
    },
    dispositions: {
      ...dispositions,
      claim: (connection, lease, messages, from) => claim(connection, lease, messages, from, ++token),
    },
    facts: facts(access, sequencing),
    append,
    takeDedupKeys,
    share: (owner, readers, leaseMs) =>
      access.write(async (connection) => {
        if (await sequencing.rebase(connection)) ports.log.warn({}, movedWarning)
        return leases.share(connection, owner, readers, leaseMs)
      }),
    land: (connection, batch) => land(connection, topics, batch),
    collisionsOf,
    parkLogged,
    moveDue: async (lease, now, limit) => {
      // Nothing is written when nothing is due (P15).
      const next = await nextDelayed(access.read, lease)
      if (next === undefined || next > now) return 0
      return access.write((connection) => moveDue(connection, lease, now, limit))
    },
    cancelDelayed,
    decideHalf,
    takeChecks: (service, names, until, limit) =>
      access.write((connection) => takeChecks(connection, service, names, until, limit)),
    search: (query) => search(access, sequencing, query),
    lag: () => log.lag(access.read, sequencing),
    purge: (before, receiptsBefore) => purgePortion(access, before, receiptsBefore),
  }
}
