import { rmSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLog } from './core/log.ts'
import { type SqliteTx, sqlite } from './databases/sqlite.ts'
import { Waybill, topic } from './index.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'
import { until } from './testing/until.ts'
import { databaseTransport } from './transports/database/index.ts'

type Instance = Waybill<SqliteTx, 'sync'>

const OrderPaid = topic<{ n: number }>('order.paid')
let folder: ReturnType<typeof temporaryFolder>
let handled: number[]
const opened = new Set<Instance>()

beforeEach(() => {
  folder = temporaryFolder()
  handled = []
})
afterEach(async () => {
  for (const instance of opened) await instance.stop({ withinMs: 0 })
  opened.clear()
  folder.remove()
})

async function service(name: string, from?: 'now'): Promise<Instance> {
  const instance = new Waybill({
    service: name,
    database: sqlite(folder.file(`${name}.db`)),
    transport: databaseTransport({ database: sqlite(folder.file('broker.db')) }),
    leaseMs: 1_000,
    log: silentLog,
  })
  opened.add(instance)
  if (name === 'coupon')
    instance.consume(OrderPaid, { group: 'coupon', ...(from ? { from } : {}) }, ({ body }) => {
      handled.push(body.n)
    })
  await instance.start()
  return instance
}

async function stop(instance: Instance): Promise<void> {
  opened.delete(instance)
  await instance.stop()
}

const pay = (instance: Instance, n: number): Promise<unknown> =>
  instance.publishNow(OrderPaid, { key: String(n), body: { n } })

/** The group has handled order 1, then everybody stops, the carrier's disk is lost, and order 2 is sent before the group is back. */
async function loseTheCarrier(): Promise<Instance> {
  const coupon = await service('coupon')
  const order = await service('order')
  await pay(order, 1)
  await until('the first is handled', () => handled.includes(1))
  await stop(coupon)
  await stop(order)
  for (const suffix of ['', '-wal', '-shm']) rmSync(folder.file(`broker.db${suffix}`), { force: true })
  const again = await service('order')
  await pay(again, 2)
  await until('the second is at the carrier', async () =>
    (await again.lag()).every(({ reader, waiting }) => reader !== '@relay' || waiting === 0),
  )
  return again
}

test.each(['now', undefined] as const)(
  'P26: a group that was there before reads a carrier that forgot it from the oldest, with from: %s',
  async (from) => {
    const order = await loseTheCarrier()
    await service('coupon', from)
    await pay(order, 3)
    await until('the third is handled', () => handled.includes(3))
    expect(handled.toSorted((a, b) => a - b)).toEqual([1, 2, 3])
  },
)
