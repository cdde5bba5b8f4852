/**
 * Case 3: the logistics company is down for longer than all the retries of the naive warehouse, then it is up again. Everything else works
 * all the time. Before that, one of its answers is lost, so that its caller cannot know whether it has shipped.
 */

import { join } from 'node:path'
import { until } from 'waybill/testing'
import { freePort } from '../../shop/demo/free-port.ts'
import type { SideName } from '../../shop/demo/sides.ts'
import { callJson } from '../../shop/shared/http.ts'
import type { PaymentCallback } from '../../shop/shared/payment-callback.ts'
import type { CaseContext, CaseResult } from '../case.ts'
import { Network } from '../harness/network.ts'
import { CaseSide } from '../harness/side.ts'
import { checkPromises } from './promises.ts'

const group = 'warehouse'
const patienceMs = 60_000
/** Longer than the naive warehouse takes to give up: the broker should not deliver meanwhile what is being tried. */
const leaseMs = 20_000
const programs = {
  naive: { order: '../../shop/naive/order.ts', warehouse: 'naive-warehouse.ts' },
  waybill: { order: '../4-duplicate-coupon/waybill-order.ts', warehouse: 'waybill-warehouse.ts' },
}
const stateOfLogistics = "select state from waybill_dependencies where name = 'logistics'"

/** Each customer orders again and again; the orders are numbered as they were paid. */
const customers = ['ann', 'bob', 'cem', 'dai']
const [before, during, after] = [paymentsOf(1, 4), paymentsOf(5, 20), paymentsOf(21, 24)]
const all = [...before, ...during, ...after]

function paymentsOf(first: number, last: number): readonly PaymentCallback[] {
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const number = first + index
    const userId = customers[number % customers.length]!
    const orderId = `order-${String(number).padStart(2, '0')}`
    return { orderId, userId, amount: 100, rollback: false, notification: 1 }
  })
}

interface Stage {
  readonly side: CaseSide
  pay(payments: readonly PaymentCallback[]): Promise<void>
}

export async function run(context: CaseContext): Promise<CaseResult> {
  const naive = await runNaive()
  const waybill = await runWaybill(context, naive.outageMs)
  context.say('')
  context.headings()
  const name = { en: 'logistics down, then up', zh: '物流系统不可用，之后恢复' }
  context.scenario(name, naive.books, waybill.books)
  context.say(
    `logistics was down for ${naive.outageMs} ms: until the naive warehouse had given everything up`,
  )
  return { case: 3, naive: naive.books, waybill: waybill.books, expected: { once: all.length } }
}

async function runNaive() {
  return await onStage('naive', async ({ side, pay }) => {
    await side.services.kill('logistics')
    const downSince = performance.now()
    await pay(during)
    // It acknowledges what it has given up.
    await side.untilNothingIsPending([group], patienceMs)
    const outageMs = Math.ceil(performance.now() - downSince)
    await side.services.restart('logistics')
    await pay(after)
    await side.untilNothingIsPending([group], patienceMs)
    return { outageMs, books: (await side.ledger([group])).total }
  })
}

async function runWaybill(context: CaseContext, outageMs: number) {
  return await onStage('waybill', async ({ side, pay }) => {
    const [affected] = during
    const showTrace = (): Promise<void> => context.showTrace(databasesOf(side), affected!.orderId)
    await side.services.kill('logistics')
    const downSince = performance.now()
    await pay(during)
    const isAsLong = (): boolean => performance.now() - downSince >= outageMs
    await until('logistics was down as long', isAsLong, outageMs + patienceMs)
    await until('the warehouse knows that it is down', () => isKnownToBeDown(side), patienceMs)
    context.say('while logistics is down:')
    await showTrace()
    await side.services.restart('logistics')
    await pay(after)
    await side.untilNothingIsPending([group], patienceMs)
    context.say('when it is up again:')
    await showTrace()
    checkPromises(context, side, all)
    return { books: (await side.ledger([group])).total }
  })
}

/** Everything is started, and the first orders are shipped; the logistics company's answer to the first of them was lost. */
async function onStage<R>(name: SideName, play: (stage: Stage) => Promise<R>): Promise<R> {
  await using side = await CaseSide.open(name, { leaseMs })
  const port = await freePort()
  const network = await Network.to(port)
  try {
    const file = (program: string): string => join(import.meta.dirname, program)
    const start = (service: string, program: string, at = 0) =>
      side.services.start({ name: service, program: file(program), args: ['--port', `${at}`] })
    await start('logistics', 'logistics.ts', port)
    const { port: orderPort } = await start('order', programs[name].order)
    await start(group, programs[name].warehouse, Number(new URL(network.url).port))
    const callback = `http://127.0.0.1:${Number(orderPort)}/payments/callback`
    const pay = async (payments: readonly PaymentCallback[]): Promise<void> => {
      for (const payment of payments) await callJson('POST', callback, payment, { timeoutMs: patienceMs })
    }
    const lost = network.loseNextAnswer('/shipments')
    await pay(before)
    await lost
    await until('the first are shipped', () => side.effects(group) === before.length, patienceMs)
    return await play({ side, pay })
  } finally {
    await network.close()
  }
}

function isKnownToBeDown(side: CaseSide): boolean {
  return side.rows(group, 'waybill_dependencies', stateOfLogistics)[0]?.['state'] === 'open'
}

function databasesOf({ services }: CaseSide): Readonly<Record<string, string>> {
  const fileOf = (name: string): string => join(services.folderOf(name), `${name}.db`)
  return { order: fileOf('order'), [group]: fileOf(group) }
}
