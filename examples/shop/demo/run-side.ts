import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { balance, type Ledger } from '../ledger.ts'
import { formatOrders, type Order } from '../orders.ts'
import { groups } from '../shared/order-paid.ts'
import type { ShopDatabases } from './databases.ts'
import { Fleet } from './fleet.ts'
import { freePort } from './free-port.ts'
import type { Victim } from './kill-plan.ts'
import { Killer } from './killer.ts'
import { Payments } from './payments.ts'
import type { Progress } from './progress.ts'
import { type LiveSide, naiveSide, type SideName, waybillSide } from './sides.ts'
import { type AnyWitness, Witness } from './witness.ts'

export interface SideResult {
  readonly name: SideName
  readonly committed: number
  readonly ledger: Ledger
  readonly victims: readonly Victim[]
  readonly unanswered: number
  readonly repeatedCallbacks: number
  readonly effectsPerSecond: number
  readonly latencyMs: { readonly p50: number; readonly p99: number }
  readonly seconds: number
}

export interface RunOptions {
  readonly folder: string
  readonly orders: readonly Order[]
  readonly kills: number
  readonly seed: number
  /** Of Waybill's side. The naive side's are files: its faults are those of its protocol, whatever the database. */
  readonly databases: ShopDatabases
  readonly progress: Progress
  /** Called with the fleet at once, so that an interrupted controller can end it. */
  readonly onFleet: (fleet: Fleet) => void
}

interface Running {
  readonly side: LiveSide
  readonly fleet: Fleet
  readonly payments: Payments
  readonly witness: AnyWitness
}

/** Both sides end alike: nothing is left to do and nothing has changed for so long … */
const quietMs = 2000
/** … or nothing has changed for so long although something is left to do. */
const deadlineMs = 60_000
const lookEveryMs = 100

export async function runSide(name: SideName, options: RunOptions): Promise<SideResult> {
  const folder = join(options.folder, name)
  mkdirSync(folder)
  const fleet = new Fleet(folder)
  options.onFleet(fleet)
  const books = name === 'naive' ? await naiveBooks(folder) : await waybillBooks(folder, options.databases)
  const running: Running = { ...books, fleet, payments: new Payments(fleet) }
  try {
    const startedAtMs = Date.now()
    await startAll(running, folder, options.orders)
    const victims = await killAndFinish(running, options)
    const seconds = (Date.now() - startedAtMs) / 1000
    const result = await results(running, options.orders.length, victims, seconds)
    await fleet.stopAll()
    return result
  } finally {
    options.progress.stop()
    fleet.killAllNow()
    await books.witness.close()
  }
}

type Books = Pick<Running, 'side' | 'witness'>

async function naiveBooks(folder: string): Promise<Books> {
  const witness = new Witness(folder)
  return { witness, side: naiveSide(folder, witness, await freePort()) }
}

async function waybillBooks(folder: string, databases: ShopDatabases): Promise<Books> {
  const witness = await databases.witness(folder)
  return { witness, side: waybillSide(folder, witness, databases.url(folder)) }
}

async function startAll(
  { side, fleet, payments }: Running,
  folder: string,
  orders: readonly Order[],
): Promise<void> {
  const orderPort = await freePort()
  const ordersFile = join(folder, 'orders.jsonl')
  writeFileSync(ordersFile, formatOrders(orders))
  const specs = await side.prepare(fleet, orderPort)
  await Promise.all(specs.map((spec) => fleet.start(spec)))
  await payments.start(ordersFile, orderPort)
}

async function killAndFinish(running: Running, options: RunOptions): Promise<readonly Victim[]> {
  const { orders, kills, seed, progress } = options
  const standstill = new AbortController()
  let landed = 0
  let isKilling = true
  const onKill = (count: number): void => {
    landed = count
  }
  const killer = new Killer({
    ...running,
    orders: orders.length,
    kills,
    seed,
    onKill,
    signal: standstill.signal,
  })
  const killing = killer.run().finally(() => {
    isKilling = false
  })
  const onLook = (answered: number, effects: number): void => progress.update({ answered, effects, landed })
  const finishing = waitUntilQuiet(running, orders.length, () => isKilling, onLook).then(() =>
    standstill.abort(),
  )
  const [victims] = await Promise.race([Promise.all([killing, finishing]), running.fleet.failure])
  return victims
}

async function waitUntilQuiet(
  running: Running,
  orders: number,
  isKilling: () => boolean,
  onLook: (answered: number, effects: number) => void,
): Promise<void> {
  const { side, payments, witness } = running
  let last = ''
  let changedAtMs = Date.now()
  for (;;) {
    const counts = await Promise.all(groups.map((group) => witness.effectCount(group)))
    const effects = counts.reduce((sum, count) => sum + count, 0)
    const { answered } = payments.progress
    const now = `${answered} ${effects}`
    if (now !== last) changedAtMs = Date.now()
    last = now
    onLook(answered, effects)
    const stillMs = Date.now() - changedAtMs
    if (stillMs >= deadlineMs) return
    if (stillMs >= quietMs && answered === orders && !isKilling() && (await isIdle(side))) return
    await sleep(lookEveryMs)
  }
}

async function isIdle(side: LiveSide): Promise<boolean> {
  const work = [...(await side.work()).values()]
  return work.every(({ unfinished }) => unfinished === 0)
}

async function results(
  running: Running,
  orders: number,
  victims: readonly Victim[],
  seconds: number,
): Promise<SideResult> {
  const { side, payments, witness } = running
  const effects = (await Promise.all(groups.map((group) => witness.effects(group)))).flat()
  const committed = await witness.committed()
  const pending = await Promise.all(groups.map(async (group) => [group, await side.pending(group)] as const))
  const dead = await Promise.all(groups.map(async (group) => [group, await side.dead(group)] as const))
  const ledger = balance({
    groups,
    committed,
    effects,
    pending: new Map(pending),
    dead: new Map(dead),
  })
  const latencies = effects.map(({ atMs, publishedAtMs }) => atMs - publishedAtMs).toSorted((a, b) => a - b)
  const lastMs = effects.reduce((latest, { atMs }) => Math.max(latest, atMs), 0)
  const firstMs = effects.reduce((earliest, { publishedAtMs }) => Math.min(earliest, publishedAtMs), lastMs)
  return {
    name: side.name,
    committed: committed.size,
    ledger,
    victims,
    unanswered: orders - payments.progress.answered,
    repeatedCallbacks: payments.progress.repeated,
    effectsPerSecond: lastMs > firstMs ? Math.round((effects.length * 1000) / (lastMs - firstMs)) : 0,
    latencyMs: { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) },
    seconds,
  }
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
