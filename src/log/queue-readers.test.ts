import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { OpenDatabase } from '../core/database.ts'
import { WaybillError } from '../core/errors.ts'
import type { HeldQueue, QueueReader, QueueReaders } from '../core/log-reading.ts'
import type { QueueName } from '../core/store.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { type Breakable, breakable } from '../testing/breakable-database.ts'
import { type TestPorts, testPorts } from '../testing/ports.ts'
import { aborted } from '../testing/scripted-carrier.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { logReading } from './queue-readers.ts'

const leaseMs = 9_000
const heartbeatMs = leaseMs / 3
const wide = { name: 'order.wide', queues: 4 }
const queuesOf = ({ name, queues } = wide): QueueName[] =>
  Array.from({ length: queues }, (_, queue) => ({ topic: name, queue }))

let folder: ReturnType<typeof temporaryFolder>
let ports: TestPorts
let lost: number
let opened: OpenDatabase<SqliteTx>[]
let running: QueueReaders[]
/** Which spy serves a queue: no queue is ever served twice. */
let servedBy: Map<string, Spy>

beforeEach(async () => {
  folder = temporaryFolder()
  opened = []
  running = []
  lost = 0
  servedBy = new Map()
  ports = { ...testPorts(), telemetry: { count: (counter) => void (counter === 'lease_lost' && lost++) } }
  const { database } = open()
  await database.store.declareTopics([wide])
  await database.store.declareReader('@spy', [wide], 'oldest')
})

afterEach(async () => {
  for (const readers of running) {
    const stopping = readers.stop(0)
    await pass(1_000)
    await stopping
  }
  for (const database of opened) await database.close()
  folder.remove()
})

function open(): { database: OpenDatabase<SqliteTx>; faults: Breakable } {
  const faults = breakable(sqlite(folder.file('log.db')))
  const database = faults.open(ports, { service: 'order', migrate: 'auto' })
  opened.push(database)
  return { database, faults }
}

/** Time goes by, in steps short enough for one change to lead to the next. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 25) await ports.clock.advance(25)
}

/** A reader that only serves until it is told to drain, unless a test says what it does. */
class Spy implements QueueReader {
  reader = '@spy'
  version = 0
  readonly runningMax = 100
  wanted: readonly QueueName[] = queuesOf()
  readonly serving = new Set<string>()
  served = 0
  work: (held: HeldQueue) => Promise<void> = (held) => aborted(held.draining)

  async queues(): Promise<readonly QueueName[]> {
    return this.wanted
  }

  async serve(held: HeldQueue): Promise<void> {
    const name = `${held.lease.reader} ${held.lease.topic}/${held.lease.queue}`
    if (servedBy.has(name)) throw new Error(`${name} is served twice`)
    servedBy.set(name, this)
    this.serving.add(name)
    this.served++
    try {
      await this.work(held)
    } finally {
      servedBy.delete(name)
      this.serving.delete(name)
    }
  }
}

interface Running {
  readonly spy: Spy
  readonly readers: QueueReaders
  readonly faults: Breakable
}

/** One process, with its own connection. */
function instance(...spies: Spy[]): Running {
  const { database, faults } = open()
  const readers = logReading(ports).over(database.store as never, ports.ids.owner(), leaseMs)
  const [spy = new Spy(), ...others] = spies
  for (const one of [spy, ...others]) readers.add(one)
  running.push(readers)
  return { spy, readers, faults }
}

async function started(...spies: Spy[]): Promise<Running> {
  const one = instance(...spies)
  await one.readers.start()
  await pass(100)
  return one
}

const counts = (...all: readonly Running[]): number[] => all.map(({ spy }) => spy.serving.size)

describe('sharing', () => {
  test('a lone instance serves every queue as soon as it has started', async () => {
    const one = instance()
    await one.readers.start()
    expect(counts(one)).toEqual([4])
  })

  test('instances come to share the queues evenly, and no queue is ever served by two', async () => {
    const first = await started()
    const second = await started()
    await pass(heartbeatMs)
    expect(counts(first, second)).toEqual([2, 2])
    const third = await started()
    await pass(2 * heartbeatMs)
    expect(counts(first, second, third).toSorted()).toEqual([1, 1, 2])
  })

  test('a queue that is handed over is free only once its work is finished', async () => {
    let finish = (): void => {}
    const finished = new Promise<void>((resolve) => (finish = resolve))
    const slow = new Spy()
    slow.work = async (held) => {
      await aborted(held.draining)
      await finished
    }
    const first = await started(slow)
    const second = await started()
    await pass(heartbeatMs)
    expect(counts(first, second)).toEqual([4, 0])
    finish()
    await pass(heartbeatMs)
    expect(counts(first, second)).toEqual([2, 2])
  })

  test('topics that appear are shared from the next heartbeat on', async () => {
    const one = await started()
    const packed = { name: 'order.packed', queues: 2 }
    await opened[0]!.store.declareTopics([packed])
    await opened[0]!.store.declareReader('@spy', [packed], 'oldest')
    one.spy.wanted = [...queuesOf(), ...queuesOf(packed)]
    await pass(heartbeatMs)
    expect(counts(one)).toEqual([6])
  })

  test('several readers of one instance share one heartbeat', async () => {
    await opened[0]!.store.declareReader('@other', [wide], 'oldest')
    const [spy, other] = [new Spy(), new Spy()]
    other.reader = '@other'
    const one = await started(spy, other)
    expect([spy.serving.size, other.serving.size]).toEqual([4, 4])
    const before = one.faults.calls('share')
    await pass(3 * heartbeatMs)
    expect(one.faults.calls('share') - before).toBe(3)
  })

  test('P26: instances of an older version hand everything over', async () => {
    const old = await started()
    const young = new Spy()
    young.version = 1
    const next = await started(young)
    await pass(2 * heartbeatMs)
    expect(counts(old, next)).toEqual([0, 4])
  })

  test('an idle instance heartbeats and does nothing else', async () => {
    const one = await started()
    await pass(heartbeatMs)
    const before = one.faults.calls('share')
    await pass(10 * heartbeatMs)
    expect(one.faults.calls('share') - before).toBe(10)
    expect(one.faults.calls('release')).toBe(0)
    expect(one.spy.served).toBe(4)
  })
})

describe('stopping', () => {
  test('hands over at once: the others need not wait for leases to lapse', async () => {
    const first = await started()
    const second = await started()
    await pass(heartbeatMs)
    const stopping = first.readers.stop(1_000)
    await pass(200)
    await stopping
    second.readers.poke()
    await pass(200)
    expect(counts(first, second)).toEqual([0, 4])
  })

  test('waits for what is running, keeps its lease alive meanwhile, and begins nothing new', async () => {
    let finish = (): void => {}
    const finished = new Promise<void>((resolve) => (finish = resolve))
    const slow = new Spy()
    slow.work = () => finished
    const first = await started(slow)
    let isStopped = false
    const stopping = first.readers.stop(10 * leaseMs).then(() => (isStopped = true))
    const second = await started()
    await pass(3 * leaseMs)
    expect([isStopped, ...counts(first, second)]).toEqual([false, 4, 0])
    finish()
    await pass(200)
    await stopping
    expect(slow.served).toBe(4)
    second.readers.poke()
    await pass(200)
    expect(counts(first, second)).toEqual([0, 4])
    expect(lost).toBe(0)
  })

  test('aborts what does not finish in time, and does not give its lease back: it may still act', async () => {
    const stubborn = new Spy()
    const signals: boolean[] = []
    let finish = (): void => {}
    const finished = new Promise<void>((resolve) => (finish = resolve))
    stubborn.work = async (held) => {
      held.lost.addEventListener('abort', () => signals.push(held.draining.aborted))
      await finished
    }
    const first = await started(stubborn)
    const stopping = first.readers.stop(1_000)
    await pass(975)
    expect(signals).toEqual([])
    await pass(600)
    await stopping
    expect(signals).toEqual([true, true, true, true])
    expect(first.faults.calls('release')).toBe(0)
    servedBy.clear()
    const second = await started()
    await pass(leaseMs - 2_500)
    expect(counts(second)).toEqual([0])
    await pass(2_000 + heartbeatMs)
    expect(counts(second)).toEqual([4])
    finish()
  })

  test('what ends only because it was aborted is not handed over either, but lapses', async () => {
    const slow = new Spy()
    slow.work = (held) => aborted(held.lost)
    const first = await started(slow)
    const stopping = first.readers.stop(1_000)
    await pass(1_100)
    await stopping
    expect(first.faults.calls('release')).toBe(0)
    const second = await started()
    await pass(leaseMs - 2_000)
    expect(counts(first, second)).toEqual([0, 0])
    await pass(2_000 + heartbeatMs)
    expect(counts(second)).toEqual([4])
  })

  test('leaves no timer behind, and is not woken by anything any more', async () => {
    const one = await started()
    const stopping = one.readers.stop(5_000)
    await pass(100)
    await stopping
    expect(ports.clock.pending).toBe(0)
    one.readers.poke()
    expect(ports.clock.pending).toBe(0)
    expect(one.spy.served).toBe(4)
  })

  test('without readers, or without a start, is fine', async () => {
    const { database } = open()
    const none = logReading(ports).over(database.store as never, ports.ids.owner(), leaseMs)
    await none.start()
    await none.stop(1_000)
    await instance().readers.stop(1_000)
    expect(ports.clock.pending).toBe(0)
  })

  test('with the database gone still comes to an end', async () => {
    const one = await started()
    one.faults.breakDown()
    const stopping = one.readers.stop(1_000)
    await pass(2_000)
    await stopping
    expect(counts(one)).toEqual([0])
    expect(ports.clock.pending).toBe(0)
  })
})

describe('failing', () => {
  test('a process that is gone loses its queues when their leases lapse, not sooner', async () => {
    const gone = await started()
    gone.faults.breakDown()
    gone.spy.work = async () => {}
    const second = await started()
    await pass(leaseMs - heartbeatMs)
    expect(counts(second)).toEqual([0])
    await pass(2 * heartbeatMs)
    expect(counts(second)).toEqual([4])
  })

  test('a heartbeat that fails means that the leases are lost: what runs is aborted at once; it recovers by itself', async () => {
    const one = await started()
    const repair = one.faults.breakDown('share')
    await pass(heartbeatMs)
    expect(counts(one)).toEqual([0])
    expect(one.faults.calls('release')).toBe(0)
    repair()
    await pass(heartbeatMs)
    expect(counts(one)).toEqual([4])
  })

  test('heartbeats never overlap, however long one takes', async () => {
    const { database } = open()
    let [now, most] = [0, 0]
    let answer = (): void => {}
    const store = new Proxy(database.store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        const method = value.bind(target) as (...args: unknown[]) => unknown
        if (name !== 'share') return method
        return async (...args: unknown[]) => {
          most = Math.max(most, ++now)
          await new Promise<void>((resolve) => (answer = resolve))
          now--
          return method(...args)
        }
      },
    })
    const readers = logReading(ports).over(store as never, ports.ids.owner(), leaseMs)
    readers.add(new Spy())
    const starting = readers.start()
    for (let beats = 0; beats < 3; beats++) {
      readers.poke()
      await pass(2 * heartbeatMs)
      answer()
      await pass(25)
    }
    await starting
    expect(most).toBe(1)
    const stopping = readers.stop(0)
    for (let beats = 0; beats < 4; beats++) {
      await pass(500)
      answer()
    }
    await stopping
  })

  test('P16: a queue that another has taken over is aborted, and not given back in the other’s place', async () => {
    const first = await started()
    const signals: string[] = []
    first.spy.work = async (held) => {
      held.lost.addEventListener('abort', () => signals.push(`${held.lease.queue}`))
      await aborted(held.lost)
    }
    await pass(heartbeatMs)
    const repair = first.faults.breakDown('share', 'hasOpening')
    // It does not even notice: as a process that was stopped and goes on.
    servedBy.clear()
    const second = await started()
    await pass(2 * leaseMs)
    expect(counts(second)).toEqual([4])
    repair()
    await pass(2 * heartbeatMs)
    expect(counts(first, second)).toEqual([2, 2])
  })

  test('a queue whose work was refused by its fence is counted, and served again if it is won again', async () => {
    const spy = new Spy()
    spy.work = async (held) => {
      if (spy.served === 1) throw new WaybillError('store.lease-lost', 'taken over')
      await aborted(held.draining)
    }
    const one = await started(spy)
    await pass(heartbeatMs)
    expect(lost).toBe(1)
    expect(counts(one)).toEqual([4])
  })

  test('a reader whose work ends by itself is served again', async () => {
    const spy = new Spy()
    spy.work = async (held) => {
      if (spy.served > 4) await aborted(held.draining)
    }
    const one = await started(spy)
    await pass(heartbeatMs)
    expect(counts(one)).toEqual([4])
  })

  test('a reader that cannot say its queues keeps no timer from trying again', async () => {
    const spy = new Spy()
    let failures = 0
    spy.queues = async () => {
      if (failures++ < 3) throw new Error('the database is away')
      return queuesOf()
    }
    const one = await started(spy)
    await pass(4 * heartbeatMs)
    expect(counts(one)).toEqual([4])
  })
})

describe('waking up', () => {
  test('a poke wakes every idle reader; so does a change of the log, whoever makes it', async () => {
    const spy = new Spy()
    const wakes = new Map<number, number>()
    spy.work = async (held) => {
      while (!held.draining.aborted) {
        await held.idle(held.mark())
        wakes.set(held.lease.queue, (wakes.get(held.lease.queue) ?? 0) + 1)
      }
    }
    const one = instance(spy)
    await one.readers.start()
    one.readers.poke()
    await ports.clock.advance(0)
    expect([...wakes.keys()].toSorted()).toEqual([0, 1, 2, 3])
  })
})
