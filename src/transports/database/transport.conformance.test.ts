import { describe, test } from 'vitest'
import type {
  OutgoingMessage,
  TransportClaims,
  TransportSubject,
} from '../../conformance/transport-subject.ts'
import { transportSuite } from '../../conformance/transport-suite.ts'
import { sqlite } from '../../databases/sqlite.ts'
import { logReading } from '../../log/queue-readers.ts'
import { startUpkeep } from '../../log/upkeep.ts'
import { breakable } from '../../testing/breakable-database.ts'
import { testPorts } from '../../testing/ports.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { countingClock } from '../../testing/counting-clock.ts'
import { databaseTransport } from './index.ts'

const claims: TransportClaims = {
  can: { keepsOrder: true, ordersRetries: true, durable: true, rewinds: true },
  registersGroups: true,
  faults: ['refusable', 'cutOff', 'breakOff', 'swallowAnswer'],
  patienceMs: 8_000,
}
const timeoutMs = 30_000
const retentionMs = 86_400_000

/** The real clock: two connections on one file wake each other through the file system. */
function subject(): TransportSubject {
  const folder = temporaryFolder()
  const clock = countingClock()
  const ports = testPorts({ clock })
  const database = breakable(sqlite(folder.file('broker.db')))
  const transport = databaseTransport({ database })
  return {
    transport,
    ports,
    context: (service) => ({
      ports,
      service,
      leaseMs: 1_000,
      logReading: logReading(ports),
      upkeep: (store) => startUpkeep(store, ports, retentionMs),
    }),
    pendingTimers: () => clock.pending,
    faults: {
      refusable: (message) => sentWithAnotherBody(message),
      cutOff: () => database.breakDown('land'),
      breakOff: () => database.failNext('land'),
      swallowAnswer: () => database.swallowAnswer('land'),
    },
    dispose: async () => folder.remove(),
  }

  /** Answers the message as it collides with one that the broker database has under the same id. */
  async function sentWithAnotherBody(message: OutgoingMessage): Promise<OutgoingMessage> {
    const open = database.open(ports, { service: 'order', migrate: 'auto' })
    await open.store.land({ messages: [message], topics: [{ name: message.topic, queues: 1 }], upTo: [] })
    await open.close()
    const body = '"another"'
    return { ...message, body, bodyHash: ports.digest(body) }
  }
}

describe('the database transport', () => {
  for (const { name, run, skip } of transportSuite(subject, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})
