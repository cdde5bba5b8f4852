/**
 * Zero loss with half messages: everything that can go wrong between the half message and its decision does. The naive side, which has to
 * commit before it publishes or the other way round, loses orders' messages and sends those of orders that never came to be.
 * docs/cases/2-transaction-message.md explains it.
 */

import type { CaseContext, CaseResult } from '../case.ts'
import { type Scenario, scenarios } from './scenarios.ts'
import { Shop } from './shop.ts'

const scenarioWithinMs = 60_000
const traced = 'order-no-database-1'

export async function run(context: CaseContext): Promise<CaseResult> {
  await using naive = await Shop.open('naive')
  await using waybill = await Shop.open('waybill')
  let naiveEffects = 0
  let once = 0
  context.headings()
  for (const scenario of scenarios) {
    const { name, orders, committed } = scenario
    naiveEffects += scenario.naiveEffects
    once += committed
    await Promise.all([strike(naive, scenario, naiveEffects), strike(waybill, scenario, once)])
    context.scenario(name, await naive.books(orders), await waybill.books(orders))
  }
  context.say('')
  await context.showTrace(waybill.databases, traced)
  return { case: 2, naive: await naive.books(), waybill: await waybill.books(), expected: { once } }
}

async function strike(shop: Shop, scenario: Scenario, effects: number): Promise<void> {
  const striking = scenario.strike(shop, scenario.orders).then(() => shop.untilSettled(effects))
  await shop.side.within(scenarioWithinMs, `"${scenario.name.en}" is through`, striking)
}
