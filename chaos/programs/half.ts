/**
 * The order service with half messages, as producer or as the instance that answers the checks and consumes. Its orders lie in
 * Waybill's database or in another one, and it does what docs/how-to/half-messages.md says for each.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sqlite } from '../../src/databases/sqlite.ts'
import { type Half, type HalfAnswer, Waybill, isWaybillError, topic } from '../../src/index.ts'
import type { OrderBody } from './messages.ts'
import { configuration, portsOfTest, stopOnTerminate, tell } from './program.ts'

export interface HalfConfig {
  readonly folder: string
  readonly leaseMs: number
  readonly business: 'same' | 'elsewhere'
  /** What a producer places; who has none answers and consumes. */
  readonly orders?: readonly OrderBody[]
}

/** What the business transaction does with its half message, and what a check finds out about it. */
interface Business {
  place(half: Half<OrderBody>): Promise<void>
  check(half: Half<OrderBody>): Promise<HalfAnswer>
}

/** Long enough that a busy machine is not taken for a dead producer. */
const firstCheck = '2s'
const localTimeoutMs = 2_500
const config = configuration<HalfConfig>()
const OrderPlaced = topic<OrderBody>('order.placed', undefined, {
  half: { firstCheck, checkEvery: '200ms' },
})
const waybill = new Waybill({
  service: 'order',
  database: sqlite(join(config.folder, 'order.db')),
  leaseMs: config.leaseMs,
  ports: portsOfTest(),
})
const ordersTable = 'create table if not exists orders (n integer)'

await waybill.transaction((tx) => {
  tx.exec(ordersTable)
  tx.exec('create table if not exists effects (n integer)')
})

const same: Business = {
  place: (half) =>
    waybill.transaction((tx) => {
      tx.prepare('insert into orders values (?)').run(half.body.n)
      waybill.decide(tx, half.id, 'commit')
    }),
  // Asked only while nobody has decided; a transaction that still tries to is failed by its own decide.
  check: async () => 'rollback',
}

function elsewhere(): Business {
  const db = new DatabaseSync(join(config.folder, 'business.db'), { timeout: 5_000 })
  db.exec(ordersTable)
  db.exec('create table if not exists half_outcomes (half_id text primary key, outcome text not null)')
  const outcomeOf = (half: Half<OrderBody>): HalfAnswer | undefined =>
    db.prepare('select outcome from half_outcomes where half_id = ?').get(half.id)?.['outcome'] as
      | HalfAnswer
      | undefined
  return {
    async place(half) {
      db.exec('begin immediate')
      try {
        db.prepare("insert into half_outcomes values (?, 'commit')").run(half.id)
        db.prepare('insert into orders values (?)').run(half.body.n)
        db.exec('commit')
      } catch (error) {
        if (db.isTransaction) db.exec('rollback')
        throw error
      }
    },
    async check(half) {
      const found = outcomeOf(half)
      if (found) return found
      if (Date.now() - half.publishedAt.getTime() < localTimeoutMs) return 'unknown'
      db.prepare("insert into half_outcomes values (?, 'rollback') on conflict do nothing").run(half.id)
      return outcomeOf(half) ?? 'unknown'
    },
  }
}

const business = config.business === 'same' ? same : elsewhere()

async function place(order: OrderBody): Promise<void> {
  try {
    await waybill.publishHalf(OrderPlaced, { key: `order-${order.n}`, body: order }, async (half) => {
      if (order.declined) return 'rollback'
      await business.place(half)
      return 'commit'
    })
  } catch (error) {
    tell({ type: 'refused', n: order.n, code: isWaybillError(error) ? error.code : 'the business database' })
  }
}

waybill.onCheckBack(OrderPlaced, (half) => business.check(half))
if (!config.orders) {
  waybill.consume(OrderPlaced, { group: 'coupon', from: 'oldest' }, (message, { tx }) => {
    tx.prepare('insert into effects values (?)').run(message.body.n)
  })
}
stopOnTerminate(() => waybill.stop())
await waybill.start()
tell({ type: 'ready' })
for (const order of config.orders ?? []) await place(order)
tell({ type: 'placed' })
