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
import { databasesAt } from './demo/databases.ts'
import type { Fleet } from './demo/fleet.ts'
import { type DemoOptions, readOptions } from './demo/options.ts'
import { showProgress } from './demo/progress.ts'
import { describeDatabases, describeSide, describeVerdict } from './demo/report.ts'
import { type RunOptions, runSide, type SideResult } from './demo/run-side.ts'
import type { SideName } from './demo/sides.ts'
import { judge, toJson } from './demo/verdict.ts'
import { groups } from './shared/order-paid.ts'
import { ShopError } from './shop-error.ts'

const interruptedStatus = 130

class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options === undefined) return 0
  if (!existsSync(fileURLToPath(import.meta.resolve('waybill')))) {
    throw new ShopError(
      'usage.not-built',
      'the shop uses Waybill as its users do, from dist: run "npm run build" first',
    )
  }
  return await runWithCleanUp(options)
}

async function runWithCleanUp(options: DemoOptions): Promise<number> {
  const { keep } = options
  const folder = mkdtempSync(join(tmpdir(), 'waybill-shop-'))
  const fleets: Fleet[] = []
  const killAll = (): void => {
    for (const fleet of fleets) fleet.killAllNow()
  }
  // Whatever ends this process, its children end with it and its folder goes. An 'exit' listener must be synchronous.
  process.once('exit', () => {
    killAll()
    if (!keep) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  })
  const databases = await databasesAt(options.database, keep)
  const interruption = Promise.withResolvers<never>()
  interruption.promise.catch(() => undefined)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => interruption.reject(new Interrupted(signal)))
  try {
    await databases.create()
    if (keep) console.log(`the databases and ${folder} are kept`)
    const place = { folder, databases, onFleet: (fleet: Fleet) => void fleets.push(fleet) }
    return await Promise.race([runBothSides(options, place), interruption.promise])
  } finally {
    killAll()
    if (!keep) await databases.remove()
  }
}

type Place = Pick<RunOptions, 'folder' | 'databases' | 'onFleet'>

async function runBothSides(
  { orders, kills, seed, json, skipNaive }: DemoOptions,
  place: Place,
): Promise<number> {
  const rollbacks = orders.filter((order) => order.rollback).length
  console.log(
    `${orders.length} orders 订单 (${rollbacks} roll back 回滚) · ${groups.length} groups 消费组 · ${kills} kills 强杀 · seed ${seed}`,
  )
  console.log(describeDatabases(place.databases, !skipNaive))
  const run = async (name: SideName): Promise<SideResult> => {
    const effects = (orders.length - rollbacks) * groups.length
    const progress = showProgress(name, { orders: orders.length, effects, kills })
    const result = await runSide(name, { ...place, orders, kills, seed, progress })
    for (const line of describeSide(result)) console.log(line)
    return result
  }
  const naive = skipNaive ? undefined : await run('naive')
  const waybill = await run('waybill')
  const verdict = judge(naive, waybill, groups.length, kills)
  for (const line of describeVerdict(verdict, waybill, naive !== undefined)) console.log(line)
  if (json)
    console.log(
      JSON.stringify(
        toJson(
          {
            orders: orders.length,
            groups: groups.length,
            seed,
            database: place.databases.title,
            naive,
            waybill,
          },
          verdict,
        ),
      ),
    )
  return verdict.passed ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  // At once: what was interrupted still goes on, with its processes and databases gone.
  if (error instanceof Interrupted) process.exit(interruptedStatus)
  if (error instanceof ShopError) {
    console.error(`${error.code}: ${error.message}`)
    process.exitCode = 2
  } else {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
