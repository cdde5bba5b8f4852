import type { Words } from '../case.ts'
import type { Shop } from './shop.ts'

/** One link is broken, the same way on both sides, while these orders are paid. */
export interface Scenario {
  readonly name: Words
  readonly orders: readonly string[]
  /** How many effects it has on the naive side, which cannot be asked when it is through. */
  readonly naiveEffects: number
  /** How many effects never come, because only the broker had the messages when it lost its data. */
  readonly lostWithBroker: number
  strike(shop: Shop, orders: readonly string[]): Promise<void>
}

const red = 'red-packet'

const ordersOf = (link: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `order-${link}-${i + 1}`)

export const scenarios: readonly Scenario[] = [
  {
    name: { en: 'nothing is broken', zh: '一切正常' },
    orders: ordersOf('fine', 2),
    naiveEffects: 2,
    lostWithBroker: 0,
    strike: (shop, orders) => shop.payAll(orders),
  },
  {
    name: { en: '1 network cut on send', zh: '发送时断网' },
    orders: ordersOf('cut', 2),
    naiveEffects: 0,
    lostWithBroker: 0,
    async strike(shop, orders) {
      const before = shop.failedSends
      shop.side.network.cut()
      await shop.payAll(orders)
      await shop.untilSendFails(before)
      shop.side.network.repair()
    },
  },
  {
    name: { en: '2 answer swallowed', zh: '应答丢失' },
    orders: ordersOf('swallowed', 2),
    naiveEffects: 4,
    lostWithBroker: 0,
    async strike(shop, orders) {
      for (const order of orders) {
        const lost = shop.side.network.loseNextAnswer('/publish')
        await shop.pay(order)
        await lost
      }
    },
  },
  {
    name: { en: '3 broker killed', zh: 'broker 被强杀' },
    orders: ordersOf('killed', 2),
    naiveEffects: 0,
    lostWithBroker: 0,
    async strike(shop, orders) {
      const before = shop.failedSends
      await shop.side.broker.kill()
      await shop.payAll(orders)
      await shop.untilSendFails(before)
      await shop.side.broker.start()
    },
  },
  {
    name: { en: "4 broker's data deleted", zh: 'broker 数据被删' },
    orders: ordersOf('deleted', 3),
    naiveEffects: 1,
    lostWithBroker: 2,
    async strike(shop, orders) {
      const { broker, services } = shop.side
      const { published } = await broker.client.health()
      const [after, ...before] = orders.toReversed()
      await services.stop(red)
      await shop.payAll(before)
      await shop.untilBrokerHas(published + before.length)
      await broker.stop()
      broker.loseData()
      await broker.start()
      await services.restart(red)
      await shop.pay(after!)
    },
  },
  {
    name: { en: '5 consumer killed at work', zh: '消费者处理中被强杀' },
    orders: ordersOf('worked', 1),
    naiveEffects: 0,
    lostWithBroker: 0,
    async strike(shop, orders) {
      const { dead } = await shop.killRedPacketAtWork()
      await shop.payAll(orders)
      await dead
      await shop.side.services.restart(red)
    },
  },
]
