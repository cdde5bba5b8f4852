/** The order service: places orders in its database and publishes each in the same transaction. Asked again after a crash, it goes on after the last one that is there. */
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { sqlite } from '../../src/databases/sqlite.ts'
import { Waybill } from '../../src/index.ts'
import { databaseTransport } from '../../src/transports/database/index.ts'
import { type OrderBody, ordersTopic } from './messages.ts'
import { configuration, on, portsOfTest, stopOnTerminate, tell } from './program.ts'

export interface OrderConfig {
  readonly folder: string
  readonly queues: number
  readonly leaseMs: number
  readonly relay?: boolean
  readonly orders?: readonly OrderBody[]
  /** How many orders one transaction places. */
  readonly together?: number
  /** How long it waits after each transaction. */
  readonly paceMs?: number
}

/** Thrown after publishing: such an order must leave nothing behind. */
class Declined extends Error {}

const config = configuration<OrderConfig>()
const topic = ordersTopic(config.queues)
const waybill = new Waybill({
  service: 'order',
  database: sqlite(join(config.folder, 'order.db')),
  transport: databaseTransport({ database: sqlite(join(config.folder, 'broker.db')) }),
  leaseMs: config.leaseMs,
  ports: portsOfTest(),
})

await waybill.transaction((tx) => {
  tx.exec('create table if not exists orders (n integer, account text)')
})

let isOpen = true
let placing: Promise<void> = Promise.resolve()

/** One request after the other. Places nothing more once it is asked to stop, like a server that closes before its Waybill stops. */
function place(orders: readonly OrderBody[], together: number): Promise<void> {
  placing = placing.then(() => placeAll(orders, together))
  return placing
}

async function placeAll(wanted: readonly OrderBody[], together: number): Promise<void> {
  const orders = await notTried(wanted)
  for (let i = 0; i < orders.length && isOpen; i += together) {
    // Lets timers, heartbeats and the relay have their turns between two transactions.
    await wait(config.paceMs ?? 0)
    await placeTogether(orders.slice(i, i + together))
  }
}

async function placeTogether(orders: readonly OrderBody[]): Promise<void> {
  try {
    await waybill.transaction((tx) => {
      for (const order of orders) tx.prepare('insert into orders values (?, ?)').run(order.n, order.account)
      waybill.publish(
        tx,
        topic,
        orders.map((order) => ({ key: `order-${order.n}`, shardingKey: order.account, body: order })),
      )
      if (orders.some((order) => order.declined)) throw new Declined()
    })
  } catch (error) {
    if (!(error instanceof Declined)) throw error
  }
}

/** They are placed in order: what comes before the last one that is there was placed or declined in an earlier life. */
async function notTried(wanted: readonly OrderBody[]): Promise<readonly OrderBody[]> {
  const [from, to] = [wanted.at(0)?.n ?? 0, wanted.at(-1)?.n ?? 0]
  const last = await waybill.transaction(
    (tx) =>
      tx.prepare('select max(n) as n from orders where n between ? and ?').get(from, to).n as number | null,
  )
  return wanted.filter(({ n }) => n > (last ?? 0))
}

on('place', (event) => {
  void (async () => {
    await place(event['orders'] as readonly OrderBody[], (event['together'] as number | undefined) ?? 1)
    tell({ type: 'placed', request: event['request'] })
  })()
})
stopOnTerminate(async () => {
  isOpen = false
  await placing
  await waybill.stop()
})
tell({ type: 'starting' })
await waybill.start({ relay: config.relay ?? true })
tell({ type: 'ready' })
await place(config.orders ?? [], config.together ?? 1)
tell({ type: 'placed' })
