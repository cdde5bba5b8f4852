/**
 * Case 4: the same payment reaches the coupon service more than once, in each of the ways in which that happens. Every fault is checked to have
 * happened.
 */

import { join } from 'node:path'
import { until } from 'waybill/testing'
import type { SideName } from '../../shop/demo/sides.ts'
import { classes, type Ledger, type Tally } from '../../shop/ledger.ts'
import { callJson } from '../../shop/shared/http.ts'
import type { CaseContext, CaseResult, Words } from '../case.ts'
import { Network } from '../harness/network.ts'
import { CaseSide } from '../harness/side.ts'
import type { Notified, Payment } from './payment.ts'

const group = 'coupon'
const patienceMs = 60_000
const programs = {
  naive: { order: '../../shop/naive/order.ts', coupon: 'naive-coupon.ts' },
  waybill: { order: 'waybill-order.ts', coupon: 'waybill-coupon.ts' },
}

/** One of those whose first call the shop's bank answers later than the payment system waits (shared/third-parties.ts). */
const slowAtTheBank = 'order-105'

/** One side with its services, and the network between the payment system and the order service. */
interface Stage {
  readonly side: CaseSide
  readonly orderNetwork: Network
  /** Pays, and answers when the payment system has been answered. */
  pay(orderId: string): Promise<Notified>
}

interface Scenario {
  readonly name: Words
  readonly orderIds: readonly string[]
  play(stage: Stage): Promise<void>
}

const scenarios: readonly Scenario[] = [
  {
    name: { en: 'the callback times out', zh: '支付回调超时重发' },
    orderIds: [slowAtTheBank],
    play: async ({ pay }) => expectRepeated(await pay(slowAtTheBank)),
  },
  {
    name: { en: 'the callback gets no answer', zh: '支付回调的应答丢失' },
    orderIds: ['order-1'],
    async play({ orderNetwork, pay }) {
      const lost = orderNetwork.loseNextAnswer('/payments/callback')
      expectRepeated(await pay('order-1'))
      await lost
    },
  },
  {
    name: { en: 'the producer gets no answer', zh: '生产者没有收到应答而重发' },
    orderIds: ['order-2'],
    async play({ side, pay }) {
      const lost = side.network.loseNextAnswer('/publish')
      await pay('order-2')
      await lost
    },
  },
  {
    name: { en: 'the consumer dies after its work', zh: '消费者处理后、确认前被强杀' },
    orderIds: ['order-3', 'order-4', 'order-5'],
    async play({ side, pay }) {
      for (const [index, point] of pointsOfDeath[side.name].entries()) {
        const { dead } = await side.services.killAt(group, point)
        await pay(`order-${3 + index}`)
        await dead
        await side.services.restart(group)
        await allIsAcknowledged(side)
      }
    },
  },
]

/** Between the work and the acknowledgement. Waybill has three gaps there: before the commit, behind it, and where a message lands. */
const pointsOfDeath: Readonly<Record<SideName, readonly string[]>> = {
  naive: ['worked, not acknowledged', 'worked, not acknowledged', 'worked, not acknowledged'],
  waybill: [
    'consume.handled-not-committed',
    'consume.committed-not-advanced',
    'land.landed-not-acknowledged',
  ],
}

export async function run(context: CaseContext): Promise<CaseResult> {
  const naive = await onStage('naive', playAll)
  const waybill = await onStage('waybill', async (stage) => {
    const ledger = await playAll(stage)
    for (const orderId of [slowAtTheBank, 'order-2'])
      await context.showTrace(databasesOf(stage.side), orderId)
    return ledger
  })
  context.say('')
  context.headings()
  for (const { name, orderIds } of scenarios)
    context.scenario(name, booksOf(naive, orderIds), booksOf(waybill, orderIds))
  const orders = scenarios.flatMap(({ orderIds }) => orderIds)
  return { case: 4, naive: naive.total, waybill: waybill.total, expected: { once: orders.length } }
}

async function playAll(stage: Stage): Promise<Ledger> {
  const { side } = stage
  for (const { play } of scenarios) {
    await play(stage)
    await allIsAcknowledged(side)
  }
  return await side.ledger([group])
}

async function onStage<R>(name: SideName, play: (stage: Stage) => Promise<R>): Promise<R> {
  await using side = await CaseSide.open(name)
  const start = (service: string, program: string) =>
    side.services.start({ name: service, program: join(import.meta.dirname, program) })
  const [payment, order] = await Promise.all([
    start('payment', 'payment.ts'),
    start('order', programs[name].order),
    start(group, programs[name].coupon),
  ])
  const orderNetwork = await Network.to(Number(order.port))
  try {
    const pay = async (orderId: string): Promise<Notified> => {
      const notifyUrl = `${orderNetwork.url}/payments/callback`
      const paid: Payment = { orderId, userId: 'ann', amount: 100, rollback: false, notifyUrl }
      const url = `http://127.0.0.1:${Number(payment.port)}/pay`
      return (await callJson('POST', url, paid, { timeoutMs: patienceMs })) as Notified
    }
    return await play({ side, orderNetwork, pay })
  } finally {
    await orderNetwork.close()
  }
}

/** Also what has had its effect already, and comes again because nobody acknowledged it. */
async function allIsAcknowledged(side: CaseSide): Promise<void> {
  await side.untilNothingIsPending([group], patienceMs)
  if (side.name === 'waybill') return
  const isAcknowledged = async (): Promise<boolean> =>
    (await side.broker.client.pendingKeys(group)).length === 0
  await until('the broker has every acknowledgement', isAcknowledged, patienceMs)
}

function expectRepeated({ calls }: Notified): void {
  if (calls < 2) throw new Error('the payment system was answered at once, so nothing was repeated')
}

function booksOf({ offenders }: Ledger, orderIds: readonly string[]): Tally {
  const classOf = (orderId: string) =>
    offenders.find((offender) => offender.orderId === orderId)?.class ?? 'once'
  const found = orderIds.map(classOf)
  const counts = classes.map((name) => [name, found.filter((one) => one === name).length])
  return Object.fromEntries(counts)
}

function databasesOf({ services }: CaseSide): Readonly<Record<string, string>> {
  const fileOf = (name: string): string => join(services.folderOf(name), `${name}.db`)
  return { order: fileOf('order'), [group]: fileOf(group) }
}
