import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { balance, type Ledger } from '../ledger.ts'
import { formatOrders, type Order } from '../orders.ts'
import { groups } from '../shared/order-paid.ts'
import { Fleet } from './fleet.ts'
import { freePort } from './free-port.ts'
import type { Victim } from './kill-plan.ts'
import { Killer } from './killer.ts'
import { Payments } from './payments.ts'
import type { Progress } from './progress.ts'
import { naiveSide, type Side, type SideName, waybillSide } from './sides.ts'
import { Witness } from './witness.ts'

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
  readonly progress: Progress
  /** Called with the fleet at once, so that an interrupted controller can end it. */
  readonly onFleet: (fleet: Fleet) => void
}

interface Running {
  readonly side: Side
  readonly fleet: Fleet
  readonly payments: Payments
  readonly witness: Witness
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
  const witness = new Witness(folder)
  const side = name === 'naive' ? naiveSide(folder, witness, await freePort()) : waybillSide(folder, witness)
  const running: Running = { side, fleet, payments: new Payments(fleet), witness }
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
    witness.close()
  }
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
    const effects = groups.reduce((sum, group) => sum + witness.effectCount(group), 0)
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

async function isIdle(side: Side): Promise<boolean> {
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
  const effects = groups.flatMap((group) => witness.effects(group))
  const committed = witness.committed()
  const pending = await Promise.all(groups.map(async (group) => [group, await side.pending(group)] as const))
  const ledger = balance({
    groups,
    committed,
    effects,
    pending: new Map(pending),
    dead: new Map(groups.map((group) => [group, side.dead(group)])),
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
