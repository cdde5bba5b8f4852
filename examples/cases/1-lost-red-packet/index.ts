/**
 * The lost red packet: each of the five links between a payment and its red packet is broken in turn. The naive side loses and doubles.
 * With Waybill each red packet is issued once, but for what only the broker held when its data was deleted: that is lost, and the
 * ledger names every message of it. docs/cases/1-lost-red-packet.md explains it.
 */

import { ledger } from 'waybill'
import type { CaseContext, CaseResult } from '../case.ts'
import { withSources } from '../trace.ts'
import { type Scenario, scenarios } from './scenarios.ts'
import { Shop } from './shop.ts'

const scenarioWithinMs = 60_000

export async function run(context: CaseContext): Promise<CaseResult> {
  await using naive = await Shop.open('naive')
  await using waybill = await Shop.open('waybill')
  let naiveEffects = 0
  let once = 0
  let lost = 0
  context.headings()
  for (const scenario of scenarios) {
    const { name, orders, lostWithBroker } = scenario
    naiveEffects += scenario.naiveEffects
    lost += lostWithBroker
    once += orders.length - lostWithBroker
    await Promise.all([strike(naive, scenario, naiveEffects), strike(waybill, scenario, once)])
    context.scenario(name, await naive.books(orders), await waybill.books(orders))
  }
  const named = await namedByLedger(waybill)
  context.say('')
  context.say(`waybill ledger: ${named.length} missing 缺失: ${named.join(', ')}`)
  await context.showTrace(waybill.databases, named[0] ?? scenarios[0]!.orders[0]!)
  return {
    case: 1,
    // Nobody keeps books there.
    naive: { ...(await naive.books()), detected: 0 },
    waybill: { ...(await waybill.books()), detected: named.length },
    expected: { once, lost },
  }
}

async function strike(shop: Shop, scenario: Scenario, effects: number): Promise<void> {
  const striking = scenario.strike(shop, scenario.orders).then(() => shop.untilSettled(effects))
  await shop.side.within(scenarioWithinMs, `"${scenario.name.en}" is through`, striking)
}

/** @throws Error if it names one that is not lost: nobody would believe it again */
async function namedByLedger(waybill: Shop): Promise<readonly string[]> {
  const books = await withSources(waybill.databases, (sources) => ledger(sources, { overdueAfter: '0s' }))
  const named = books.deliveries.flatMap(({ offenders }) => offenders.map(({ key }) => String(key)))
  const lost = new Set(await waybill.lost())
  const wronged = named.filter((orderId) => !lost.has(orderId))
  if (wronged.length > 0) throw new Error(`the ledger names ${wronged.join(', ')} as missing, and it is not`)
  return named
}
