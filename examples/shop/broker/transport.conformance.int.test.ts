import { afterAll, beforeAll, describe, test } from 'vitest'
import { type TransportClaims, type TransportSubject, transportSuite } from 'waybill/conformance'
import { temporaryFolder, testPorts } from 'waybill/testing'
import { BrokerProcess } from '../../cases/harness/broker-process.ts'
import { Network } from '../../cases/harness/network.ts'
import { Fleet } from '../demo/fleet.ts'
import { exampleBroker } from './transport.ts'

const claims: TransportClaims = {
  can: { keepsOrder: true, ordersRetries: true, durable: true, rewinds: true },
  registersGroups: true,
  faults: ['refusable', 'cutOff', 'breakOff', 'swallowAnswer'],
}
const timeoutMs = 30_000
/** More than the broker takes in one request. */
const tooLarge = `"${'x'.repeat(9 * 1024 * 1024)}"`

/** The broker has the time of this machine. */
const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs: number, run: () => void) => {
    const timer = setTimeout(run, delayMs).unref()
    return () => clearTimeout(timer)
  },
  afterTurn: (run: () => void) => {
    const turn = setImmediate(run)
    return () => clearImmediate(turn)
  },
}
const isNoLog = (): never => {
  throw new Error('this carrier is not read as a log')
}
const folder = temporaryFolder()
const fleet = new Fleet(folder.path)
let broker: BrokerProcess
let nextSeed = 1

beforeAll(async () => {
  broker = await BrokerProcess.start({ fleet, folder: folder.file('broker') })
})
afterAll(async () => {
  await fleet.stopAll()
  folder.remove()
})

/** One broker for all promises; a network of its own for each. */
async function subject(): Promise<TransportSubject> {
  const network = await Network.to(broker.port)
  // The ids of one promise must not be those of another: all are in one broker.
  const ports = testPorts({ clock, seed: nextSeed++ })
  return {
    transport: exampleBroker({ url: network.url }),
    ports,
    context: (service) => ({
      ports,
      service,
      leaseMs: 1_000,
      logReading: { over: isNoLog },
      upkeep: isNoLog,
    }),
    crashCarrier: async () => {
      await broker.kill()
      await broker.start()
    },
    faults: {
      refusable: async (message) => ({ ...message, body: tooLarge, bodyHash: ports.digest(tooLarge) }),
      cutOff: () => {
        network.cut()
        return () => network.repair()
      },
      breakOff: () => void network.loseNextRequest('/publish'),
      swallowAnswer: () => void network.loseNextAnswer('/publish'),
    },
    dispose: () => network.close(),
  }
}

describe('the transport over the example broker', () => {
  for (const { name, run, skip } of transportSuite(subject, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})
