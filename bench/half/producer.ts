import type { Findings, Measure, Run } from '../harness/bench.ts'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { compare, figuresOf } from '../harness/waiting.ts'
import { newWaybill, type Order, orderPaid, orders, type SqliteWaybill } from '../sqlite/messages.ts'
import { type HalfSizes, halfSizes } from './sizes.ts'
import { anyKey, waitingHalves } from './waiting-halves.ts'

/** How many half messages a producer decides a second, and whether those that nobody decides slow it down. */
export const producerMeasure: Measure = {
  name: 'producer',
  title: 'Half messages decided in their local transaction',
  measure,
}

/** Half messages decided before it is another file's turn. */
const slice = 20

async function measure(run: Run): Promise<Findings> {
  const sizes = halfSizes(run)
  const { rounds, block, waiting } = sizes
  const paths = await waitingHalves(run)
  const place = orderPlacer(run, sizes)
  const shops = new Map<string, SqliteWaybill>()
  for (const path of Object.values(paths)) shops.set(path, await openShop(path))
  const rates = await compare(run, 'half messages: producer', paths, rounds, {
    blocks: block / slice,
    size: slice,
    block: (path) => placeOrders(shops.get(path)!, place),
  })
  for (const shop of shops.values()) await shop.stop()
  return {
    how: `${rounds} rounds in random order of ${block} half messages of 1 KiB with keys at random, one after the other, in turns of ${slice}: publishHalf, and in its local work one transaction that inserts an order and decides. The instances are started and check back. On a file with ${waiting} undecided half messages of the same topic, their checks due in a year, and on two without.`,
    figures: figuresOf(rates, 'msg/s'),
  }
}

type Place = (waybill: SqliteWaybill) => Promise<void>

function orderPlacer(run: Run, { bodyBytes, waiting }: HalfSizes): Place {
  const bodies = orders(bodyBytes)
  let placed = 0
  return async (waybill) => {
    const body: Order = bodies[placed++ % bodies.length]!
    const id = `order-${placed}`
    const key = anyKey(run, waiting)
    await waybill.publishHalf(orderPaid, { key, shardingKey: body.userId, body }, async (half) => {
      await waybill.transaction((tx) => {
        tx.prepare('insert into orders (id, amount) values (?, ?)').run(id, body.amount)
        waybill.decide(tx, half.id, 'commit')
      })
      return 'commit'
    })
  }
}

async function openShop(path: string): Promise<SqliteWaybill> {
  const waybill = newWaybill(path)
  waybill.onCheckBack(orderPaid, async () => 'unknown')
  await waybill.start()
  return waybill
}

async function placeOrders(shop: SqliteWaybill, place: Place): Promise<number> {
  const startMs = nowMs()
  for (let i = 0; i < slice; i++) await place(shop)
  return secondsSince(startMs)
}
