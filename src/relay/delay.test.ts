import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../core/log.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { Waybill, topic } from '../index.ts'
import { systemPorts } from '../system.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'
import { VirtualClock } from '../testing/virtual-clock.ts'

const Reminder = topic<{ n: number }>('order.reminder')

let folder: ReturnType<typeof temporaryFolder>
let clock: VirtualClock
let handled: number[]
const opened: Waybill<SqliteTx, 'sync'>[] = []

/** An instance on the shared file and the shared virtual clock; it handles reminders if `consume`. */
function open(consume = true): Waybill<SqliteTx, 'sync'> {
  const waybill = new Waybill({
    service: 'order',
    database: sqlite(folder.file('order.db')),
    log: silentLog,
    ports: { ...systemPorts, clock, log: silentLog },
  })
  if (consume)
    waybill.consume(
      Reminder,
      { group: 'mail', from: 'oldest' },
      (message) => void handled.push(message.body.n),
    )
  opened.push(waybill)
  return waybill
}

/** Lets time pass in small steps, so that everything that becomes due on the way is seen on the way. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) await clock.advance(Math.min(500, left))
}

beforeEach(() => {
  folder = temporaryFolder()
  clock = new VirtualClock()
  handled = []
})

afterEach(async () => {
  for (const waybill of opened.splice(0)) await Promise.all([waybill.stop({ withinMs: 0 }), pass(1_000)])
  folder.remove()
})

describe('delayed messages', () => {
  test.each([
    ['delay', { delay: '30s' }],
    ['delayLevel 4', { delayLevel: 4 }],
  ] as const)('%s: delivered when due, not before', async (_, when) => {
    const waybill = open()
    await waybill.start()
    await waybill.publishNow(Reminder, { key: 'later', body: { n: 1 }, ...when })
    expect(await waybill.search({ state: 'delayed' })).toMatchObject([{ key: 'later' }])
    await pass(29_000)
    expect(handled).toEqual([])
    await pass(2_000)
    await until('it was handled', () => handled.length === 1)
    expect(await waybill.search({ key: 'later', state: 'done' })).toHaveLength(1)
    expect(await waybill.search({ state: 'delayed' })).toEqual([])
  })

  test('deliverAt in the past means now', async () => {
    const waybill = open()
    await waybill.start()
    await waybill.publishNow(Reminder, { body: { n: 1 }, deliverAt: new Date(clock.now() - 1) })
    expect(await waybill.search({ state: 'delayed' })).toEqual([])
    await pass(1_000)
    await until('it was handled', () => handled.length === 1)
  })

  test('P18: messages of one key are in the order of their due times', async () => {
    const waybill = open()
    await waybill.start()
    await waybill.publishNow(Reminder, { shardingKey: 'u', body: { n: 3 }, delay: '9s' })
    await waybill.publishNow(Reminder, { shardingKey: 'u', body: { n: 2 }, delay: '5s' })
    await waybill.publishNow(Reminder, { shardingKey: 'u', body: { n: 1 } })
    await pass(12_000)
    await until('all were handled', () => handled.length === 3)
    expect(handled).toEqual([1, 2, 3])
  })

  test('P22: once at the due time under several instances, also when one of them stops', async () => {
    const first = open()
    await Promise.all([first.start(), open().start(), open().start()])
    await first.transaction((tx) => {
      for (let n = 0; n < 100; n++) first.publish(tx, Reminder, { body: { n }, delay: '5s' })
    })
    await pass(4_000)
    await Promise.all([first.stop({ withinMs: 0 }), pass(1_000)])
    await pass(5_000)
    await until('all were handled', async () => {
      // The hand-over is heard through the file, in real time, and acted on in virtual time.
      await pass(500)
      return handled.length >= 100
    })
    expect(handled.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n))
  })

  test('a delay survives a restart', async () => {
    const first = open(false)
    await first.publishNow(Reminder, { body: { n: 1 }, delay: '1h' })
    await first.stop()
    await pass(2 * 3_600_000)
    const second = open()
    expect(await second.search({ state: 'delayed' })).toHaveLength(1)
    await second.start()
    await pass(1_000)
    await until('it was handled', () => handled.length === 1)
  })
})

describe('cancelling', () => {
  test('P22: before it is due answers cancelled, and it never comes', async () => {
    const waybill = open()
    await waybill.start()
    await waybill.publishNow(Reminder, { key: 'order-1', body: { n: 1 }, delay: '10s' })
    expect(await waybill.transaction((tx) => waybill.cancel(tx, Reminder, { key: 'order-1' }))).toBe(
      'cancelled',
    )
    await pass(20_000)
    expect(handled).toEqual([])
    expect(await waybill.search({ key: 'order-1' })).toMatchObject([{ groups: [{ state: 'cancelled' }] }])
  })

  test('P22: once it is due answers too-late, and it comes once', async () => {
    const waybill = open()
    await waybill.start()
    const id = await waybill.publishNow(Reminder, { key: 'order-1', body: { n: 1 }, delay: '10s' })
    await pass(12_000)
    await until('it was handled', () => handled.length === 1)
    expect(await waybill.transaction((tx) => waybill.cancel(tx, Reminder, { id }))).toBe('too-late')
    expect(handled).toEqual([1])
  })

  test('P22: at the due moment it is either cancelled or delivered, never both and never neither', async () => {
    const [mover, canceller] = [open(), open()]
    await Promise.all([mover.start(), canceller.start()])
    const answers = new Map<number, string>()
    const cancel = (n: number): Promise<void> =>
      canceller.transaction((tx) => void answers.set(n, canceller.cancel(tx, Reminder, { key: `k${n}` })))
    // Due one after the other, a millisecond apart, so that the cancels overtake and are overtaken.
    for (let n = 0; n < 60; n++)
      await mover.publishNow(Reminder, { key: `k${n}`, body: { n }, delay: `${5_000 + n}ms` })
    const racing: Promise<void>[] = []
    await pass(5_000)
    for (let n = 0; n < 60; n++) {
      const at = n % 2 === 0 ? n + 3 : n - 3
      if (at >= 0 && at < 60) racing.push(cancel(at))
      await clock.advance(1)
    }
    await Promise.all(racing)
    for (let n = 0; n < 60; n++) if (!answers.has(n)) await cancel(n)
    await pass(2_000)
    const late = [...answers].filter(([, answer]) => answer === 'too-late').map(([n]) => n)
    expect(late.length).toBeGreaterThan(0)
    expect(late.length).toBeLessThan(60)
    await until('the late ones were handled', () => handled.length >= late.length)
    await pass(60_000)
    expect(handled.toSorted((a, b) => a - b)).toEqual(late.toSorted((a, b) => a - b))
  })

  test('a cancel in a transaction that rolls back cancels nothing', async () => {
    const waybill = open()
    await waybill.start()
    await waybill.publishNow(Reminder, { key: 'order-1', body: { n: 1 }, delay: '5s' })
    const failing = waybill.transaction((tx) => {
      waybill.cancel(tx, Reminder, { key: 'order-1' })
      throw new Error('the business change failed')
    })
    await expect(failing).rejects.toThrow('business change')
    await pass(7_000)
    await until('it was handled', () => handled.length === 1)
  })
})

test.each([
  [{ delay: '5s', delayLevel: 3 }, 'message.delay-invalid'],
  [{ delayLevel: 19 }, 'message.delay-invalid'],
  [{ delayLevel: 0 }, 'message.delay-invalid'],
  [{ deliverAt: new Date(Number.NaN) }, 'message.delay-invalid'],
  [{ deliverAt: 'tomorrow' }, 'message.delay-invalid'],
  [{ delay: 'soon' }, 'duration.invalid'],
])('%j is refused: %s', async (when, code) => {
  const waybill = open()
  await expect(waybill.publishNow(Reminder, { body: { n: 1 }, ...when } as never)).rejects.toThrow(
    expect.objectContaining({ code }),
  )
})
