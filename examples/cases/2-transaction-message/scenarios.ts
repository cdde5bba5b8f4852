import type { Words } from '../case.ts'
import type { Shop } from './shop.ts'

/** One thing goes wrong between the half message and its decision, the same on both sides. */
export interface Scenario {
  readonly name: Words
  readonly orders: readonly string[]
  /** How many effects it has on the naive side, which cannot be asked when it is through. */
  readonly naiveEffects: number
  /** How many orders come to be. */
  readonly committed: number
  strike(shop: Shop, orders: readonly string[]): Promise<void>
}

const brokerDown: Scenario = {
  name: { en: 'broker down at the half', zh: '写半消息时 broker 不可用' },
  orders: ['order-no-broker-1', 'order-no-broker-2'],
  naiveEffects: 0,
  committed: 2,
  async strike(shop, orders) {
    const before = shop.failedSends
    await shop.side.broker.kill()
    for (const order of orders) await shop.tryToOrder(order, 'commit-then-publish')
    await shop.untilSendFails(before)
    await shop.side.broker.start()
  },
}

const databaseDown: Scenario = {
  name: { en: 'business database down', zh: '业务数据库不可用' },
  orders: ['order-no-database-1', 'order-no-database-2'],
  naiveEffects: 2,
  committed: 2,
  async strike(shop, orders) {
    const { services } = shop.side
    await services.stop('order')
    const putBack = services.takeDatabaseAway('orders')
    await shop.restartOrderService()
    for (const order of orders) await shop.tryToOrder(order, 'publish-then-commit')
    for (const order of orders) await shop.untilHalf(order, 'was checked in vain', 'failures > 0')
    putBack()
  },
}

const brokerKilled: Scenario = {
  name: { en: 'broker killed after the half', zh: '半消息之后 broker 被强杀' },
  orders: ['order-broker-killed'],
  naiveEffects: 0,
  committed: 1,
  async strike(shop, orders) {
    const before = shop.failedSends
    const letGo = shop.lockOrders()
    const ordering = orders.map((order) => shop.tryToOrder(order, 'commit-then-publish'))
    for (const order of orders) await shop.untilHalf(order, 'is prepared', "state = 'prepared'")
    await shop.side.broker.kill()
    letGo()
    await Promise.all(ordering)
    await shop.untilSendFails(before)
    await shop.side.broker.start()
  },
}

const producerKilled: Scenario = {
  name: { en: 'producer killed, undecided', zh: '决定之前生产者被强杀' },
  orders: ['order-producer-killed'],
  naiveEffects: 0,
  committed: 1,
  async strike(shop, orders) {
    await shop.startSecondInstance()
    const point = shop.isNaive ? 'committed, not published' : 'half.worked-not-decided'
    const { dead } = await shop.side.services.killAt('order', point)
    for (const order of orders) await shop.tryToOrder(order, 'commit-then-publish')
    await dead
    for (const order of orders) await shop.untilHalf(order, 'is committed', "state = 'committed'")
    await shop.restartOrderService()
  },
}

const slowTransaction: Scenario = {
  name: { en: 'slow local transaction', zh: '本地事务慢于首次回查' },
  orders: ['order-slow'],
  naiveEffects: 2,
  committed: 1,
  async strike(shop, [order]) {
    const letGo = shop.lockOrders()
    const { answered } = await shop.orderImpatiently(order!, 'publish-then-commit')
    await shop.untilHalf(order!, 'was checked meanwhile', 'checks + failures > 0')
    letGo()
    await answered
  },
}

const neverPaid: Scenario = {
  name: { en: 'a payment that never comes', zh: '始终没有付款' },
  orders: ['order-paid', 'order-never-paid'],
  naiveEffects: 2,
  committed: 1,
  async strike(shop, [paid, unpaid]) {
    await shop.orderUnpaid(paid!)
    await shop.pay(paid!)
    await shop.orderUnpaid(unpaid!)
    await shop.untilHalf(unpaid!, 'is rolled back', "state = 'rolled-back' and decided_by = 'policy'")
  },
}

export const scenarios: readonly Scenario[] = [
  brokerDown,
  databaseDown,
  brokerKilled,
  producerKilled,
  slowTransaction,
  neverPaid,
]
