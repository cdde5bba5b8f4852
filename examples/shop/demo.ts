/**
 * A shop whose processes are killed all the time, twice on the same orders: written as teams often write it, and with
 * Waybill. A witness that is never killed counts what took effect. README.md says how to read the result.
 *
 * Exit status: 0 passed, 1 not passed or the run failed, 2 wrong usage.
 */

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Fleet } from './demo/fleet.ts'
import { type DemoOptions, readOptions } from './demo/options.ts'
import { showProgress } from './demo/progress.ts'
import { describeSide, describeVerdict } from './demo/report.ts'
import { runSide, type SideResult } from './demo/run-side.ts'
import type { SideName } from './demo/sides.ts'
import { judge, toJson } from './demo/verdict.ts'
import { groups } from './shared/order-paid.ts'
import { ShopError } from './shop-error.ts'

const interruptedStatus = 130

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options === undefined) return 0
  if (!existsSync(fileURLToPath(import.meta.resolve('waybill')))) {
    throw new ShopError(
      'usage.not-built',
      'the shop uses Waybill as its users do, from dist: run "npm run build" first',
    )
  }
  return await runBothSides(options)
}

async function runBothSides(options: DemoOptions): Promise<number> {
  const { orders, kills, seed, json, keep } = options
  const folder = mkdtempSync(join(tmpdir(), 'waybill-shop-'))
  const fleets: Fleet[] = []
  // Whatever ends this process, its children end with it and its folder goes. An 'exit' listener must be synchronous.
  process.once('exit', () => {
    for (const fleet of fleets) fleet.killAllNow()
    if (!keep) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(interruptedStatus))
  }

  if (keep) console.log(`databases and logs are kept in ${folder}`)
  const rollbacks = orders.filter((order) => order.rollback).length
  console.log(
    `${orders.length} orders 订单 (${rollbacks} roll back 回滚) · ${groups.length} groups 消费组 · ${kills} kills 强杀 · seed ${seed}`,
  )
  const run = async (name: SideName): Promise<SideResult> => {
    const effects = (orders.length - rollbacks) * groups.length
    const progress = showProgress(name, { orders: orders.length, effects, kills })
    const onFleet = (fleet: Fleet): void => void fleets.push(fleet)
    const result = await runSide(name, { folder, orders, kills, seed, progress, onFleet })
    for (const line of describeSide(result)) console.log(line)
    return result
  }
  const naive = await run('naive')
  const waybill = await run('waybill')
  const verdict = judge(naive, waybill, groups.length, kills)
  for (const line of describeVerdict(verdict, waybill)) console.log(line)
  if (json)
    console.log(
      JSON.stringify(toJson({ orders: orders.length, groups: groups.length, seed, naive, waybill }, verdict)),
    )
  return verdict.passed ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  if (error instanceof ShopError) {
    console.error(`${error.code}: ${error.message}`)
    process.exitCode = 2
  } else {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
