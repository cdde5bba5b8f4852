import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { OpenDatabase } from '../core/database.ts'
import type { CrashPoint } from '../core/ports.ts'
import type { TopicDeclaration } from '../core/store.ts'
import type { Counter } from '../core/telemetry.ts'
import type { IncomingBatch } from '../core/transport.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { type Breakable, breakable } from '../testing/breakable-database.ts'
import { type TestPorts, testPorts } from '../testing/ports.ts'
import { rowsOf } from '../testing/relay-bench.ts'
import { ScriptedCarrier, aborted } from '../testing/scripted-carrier.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { Lander } from './lander.ts'

type Incoming = IncomingBatch['messages'][number]

const paid: TopicDeclaration = { name: 'order.paid', queues: 1 }
const broker = 'database:broker'

let folder: ReturnType<typeof temporaryFolder>
let ports: TestPorts
let faults: Breakable
let database: OpenDatabase<SqliteTx>
let carrier: ScriptedCarrier
let lander: Lander
let reached: (point: CrashPoint) => void
let pokes: number
let counted: Map<Counter, number>
const warnings: string[] = []

beforeEach(() => {
  folder = temporaryFolder()
  reached = () => {}
  pokes = 0
  warnings.length = 0
  counted = new Map()
  const base = testPorts({ reached: (point) => reached(point) })
  ports = {
    ...base,
    telemetry: { count: (counter, _, by) => void counted.set(counter, (counted.get(counter) ?? 0) + by) },
    log: { ...base.log, warn: (_, text) => void warnings.push(text) },
  }
  const over = breakable(sqlite(folder.file('coupon.db')))
  faults = over
  database = over.open(ports, { service: 'coupon', migrate: 'auto' })
  carrier = new ScriptedCarrier()
  lander = landerOf([paid])
})

afterEach(async () => {
  await lander.stop()
  await database.close()
  folder.remove()
})

function landerOf(topics: readonly TopicDeclaration[]): Lander {
  return new Lander({
    store: database.store as never,
    transport: carrier,
    transportName: 'scripted',
    topics,
    ports,
    landed: () => pokes++,
  })
}

let position = 0
function message(fields: Partial<Incoming> = {}): Incoming {
  const body = fields.body ?? '{}'
  const now = ports.clock.now()
  return {
    id: ports.ids.message(),
    service: 'order',
    topic: paid.name,
    tag: null,
    key: null,
    shardingKey: null,
    headers: {},
    body,
    bodyHash: ports.digest(body),
    publishedAt: now,
    eligibleAt: now,
    from: { source: broker, queue: 0, position: ++position },
    ...fields,
  }
}

function batchOf(...messages: readonly Incoming[]): IncomingBatch {
  const last = messages.at(-1)!.from
  return { messages, upTo: [{ ...last, topic: paid.name }] }
}

/**
 * Starts the lander on a carrier that brings these batches, each again until it has landed, and then waits for the end.
 * Answers what was acknowledged.
 */
async function bring(...batches: readonly IncomingBatch[]): Promise<readonly IncomingBatch[]> {
  const acknowledged: IncomingBatch[] = []
  let isDone = (): void => {}
  const done = new Promise<void>((resolve) => (isDone = resolve))
  carrier.bring = async (land, signal) => {
    for (const batch of batches) {
      while (!acknowledged.includes(batch)) {
        await land(batch).then(
          () => acknowledged.push(batch),
          () => {},
        )
      }
    }
    isDone()
    await aborted(signal)
  }
  lander.start()
  await done
  return acknowledged
}

const rows = (sql: string): Record<string, unknown>[] => rowsOf(folder.file('coupon.db'), sql)
const inLog = (): unknown[] => rows('select id from waybill_messages order by pos').map(({ id }) => id)
const landedUpTo = async (): Promise<number | undefined> =>
  (await database.store.landedUpTo(broker, paid.name, 0))?.position

describe('landing', () => {
  test('appends in the order given, with the position and the messages’ place in the source, and wakes the readers once', async () => {
    const messages = [message({ key: 'a' }), message({ key: 'b', body: new Uint8Array([0, 255]) }), message()]
    await bring(batchOf(...messages))
    expect(inLog()).toEqual(messages.map(({ id }) => id))
    expect(rows('select source, source_queue, source_pos from waybill_messages order by pos')).toEqual(
      messages.map(({ from }) => ({ source: broker, source_queue: 0, source_pos: from.position })),
    )
    expect(await landedUpTo()).toBe(messages[2]!.from.position)
    expect(pokes).toBe(1)
    expect(Object.fromEntries(counted)).toEqual({ landed: 3, suppressed: 0 })
  })

  test('P19: the number of queues of this database counts, not that of the source', async () => {
    await database.store.declareTopics([{ name: paid.name, queues: 8 }])
    await bring(batchOf(...Array.from({ length: 40 }, (_, n) => message({ shardingKey: `user-${n}` }))))
    const queues = new Set(rows('select queue from waybill_messages').map(({ queue }) => queue))
    expect(queues.size).toBeGreaterThan(4)
  })

  test('an empty batch records its position and wakes nobody', async () => {
    await bring({ messages: [], upTo: [{ source: broker, topic: paid.name, queue: 0, position: 7 }] })
    expect(await landedUpTo()).toBe(7)
    expect(pokes).toBe(0)
  })

  test('P13: the recorded position never goes back', async () => {
    const [first, second] = [batchOf(message()), batchOf(message())]
    await bring(second, first)
    expect(await landedUpTo()).toBe(second.upTo[0]!.position)
  })

  test('P2: a landing that fails is not acknowledged and changes nothing; it lands when the batch comes again', async () => {
    const batch = batchOf(message(), message())
    const repair = faults.breakDown('land')
    const outcomes: string[] = []
    carrier.bring = async (land, signal) => {
      await land(batch).then(
        () => outcomes.push('acknowledged'),
        () => outcomes.push('not acknowledged'),
      )
      outcomes.push(`position ${await landedUpTo()}, ${inLog().length} in the log`)
      repair()
      await land(batch)
      outcomes.push('acknowledged')
      await aborted(signal)
    }
    lander.start()
    await ports.clock.advance(0)
    await lander.stop()
    expect(outcomes).toEqual(['not acknowledged', 'position undefined, 0 in the log', 'acknowledged'])
    expect(inLog()).toEqual(batch.messages.map(({ id }) => id))
    expect(pokes).toBe(1)
  })

  test.each(['land.received-not-landed', 'land.landed-not-acknowledged'] as const)(
    'P1: a crash at %s: the batch comes again and is in the log once',
    async (point) => {
      let crashes = 0
      reached = (passed) => {
        if (passed === point && crashes++ === 0) throw new Error('crash')
      }
      const batch = batchOf(message(), message())
      await bring(batch)
      expect(crashes).toBe(2)
      expect(inLog()).toEqual(batch.messages.map(({ id }) => id))
    },
  )
})

describe('what comes again', () => {
  test('is suppressed, and on record as received again where it comes from the same place', async () => {
    const batch = batchOf(message(), message())
    await bring(batch, { ...batch })
    expect(inLog()).toHaveLength(2)
    const from = ({ id, from: at }: Incoming): object => ({
      message_id: id,
      cause: 'received-again',
      source: broker,
      source_pos: at.position,
    })
    expect(rows('select message_id, cause, source, source_pos from waybill_suppressed')).toEqual(
      batch.messages.map(from),
    )
    expect(Object.fromEntries(counted)).toEqual({ landed: 2, suppressed: 2 })
    expect(pokes).toBe(1)
  })

  test('is suppressed, and on record as sent again where it comes from another place', async () => {
    const first = message()
    const again = message({ id: first.id })
    await bring(batchOf(first), batchOf(again))
    expect(inLog()).toEqual([first.id])
    expect(rows('select message_id, cause, source_pos from waybill_suppressed')).toEqual([
      { message_id: first.id, cause: 'sent-again', source_pos: again.from.position },
    ])
    expect(await landedUpTo()).toBe(again.from.position)
  })

  test('twice in one batch is landed once', async () => {
    const first = message()
    const again = message({ id: first.id })
    await bring(batchOf(first, message(), again))
    expect(inLog()).toHaveLength(2)
    expect(rows('select cause from waybill_suppressed')).toEqual([{ cause: 'sent-again' }])
  })

  test('that this service published itself is no duplicate of anything: nothing is recorded', async () => {
    const own = message({ service: 'coupon' })
    const { from: _, ...published } = own
    await database.transaction({
      work: (tx) => {
        database.store.append(tx, [{ ...published, dedupKey: null }], [paid])
      },
    })
    await bring(batchOf(own), batchOf(own))
    expect(inLog()).toEqual([own.id])
    expect(rows('select source from waybill_messages')).toEqual([{ source: null }])
    expect(rows('select * from waybill_suppressed')).toEqual([])
    expect(await landedUpTo()).toBe(own.from.position)
    expect(pokes).toBe(0)
  })
})

describe('P4: another message under an id that is taken', () => {
  test('is dead-lettered under @land, in plain sight; the first one and the rest of the batch are not touched', async () => {
    const first = message({ key: 'first', body: '{"amount":1}' })
    const impostor = message({ id: first.id, key: 'impostor', body: '{"amount":2}' })
    const after = message()
    await bring(batchOf(first), batchOf(impostor, after))
    expect(inLog()).toEqual([first.id, after.id])
    expect(rows('select body from waybill_messages where key is not null')).toEqual([
      { body: '{"amount":1}' },
    ])
    expect(await database.store.deadLetters({})).toMatchObject([
      { group: '@land', id: first.id, key: 'impostor', cause: 'receipt.id-collision' },
    ])
    expect(rows('select cause from waybill_suppressed')).toEqual([])
    expect(await landedUpTo()).toBe(after.from.position)
  })

  test('is buried once, however often it comes', async () => {
    const first = message({ body: '1' })
    const impostor = message({ id: first.id, body: '2' })
    await bring(batchOf(first), batchOf(impostor), batchOf({ ...impostor }), batchOf(first))
    expect(await database.store.deadLetters({})).toHaveLength(1)
    expect(inLog()).toEqual([first.id])
  })

  test('is noticed also where both are in one batch', async () => {
    const first = message({ body: '1' })
    await bring(batchOf(first, message({ id: first.id, body: '2' })))
    expect(inLog()).toEqual([first.id])
    expect(await database.store.deadLetters({ group: '@land' })).toHaveLength(1)
  })
})

describe('a transport that fails', () => {
  test('is asked again, after pauses that grow, and says why each time', async () => {
    const asked: number[] = []
    carrier.bring = async () => {
      asked.push(ports.clock.monotonic())
      throw new Error('the broker is away')
    }
    lander.start()
    await ports.clock.advance(0)
    await ports.clock.advance(1_600)
    expect(asked).toEqual([0, 50, 150, 350, 750, 1_550])
    await ports.clock.advance(60_000)
    const pauses = asked.map((at, i) => at - (asked[i - 1] ?? 0))
    expect(Math.max(...pauses)).toBe(5_000)
    expect(warnings[0]).toContain('the broker is away')
    await lander.stop()
    expect(ports.clock.pending).toBe(0)
  })

  test('that stops receiving by itself is asked again: landing does not end without a word', async () => {
    let asked = 0
    const batch = batchOf(message())
    carrier.bring = async (land, signal) => {
      if (asked++ < 2) return
      await land(batch)
      await aborted(signal)
    }
    lander.start()
    await ports.clock.advance(0)
    await ports.clock.advance(1_000)
    expect(inLog()).toHaveLength(1)
    expect(warnings).toHaveLength(2)
  })
})

describe('stop', () => {
  test('aborts the signal and waits until the batch that is being landed is through', async () => {
    const steps: string[] = []
    const batch = batchOf(message())
    let isLanding = (): void => {}
    const landing = new Promise<void>((resolve) => (isLanding = resolve))
    carrier.bring = async (land, signal) => {
      const landed = land(batch)
      isLanding()
      await landed
      steps.push('acknowledged')
      await aborted(signal)
      steps.push('ended')
    }
    lander.start()
    await landing
    await lander.stop()
    expect(steps).toEqual(['acknowledged', 'ended'])
    expect(inLog()).toHaveLength(1)
  })

  test('does not wait for a pause to end', async () => {
    carrier.bring = () => Promise.reject(new Error('away'))
    lander.start()
    await ports.clock.advance(0)
    await ports.clock.advance(300)
    await lander.stop()
    expect(ports.clock.pending).toBe(0)
  })

  test('before anything was started is fine', () => expect(lander.stop()).resolves.toBeUndefined())
})
