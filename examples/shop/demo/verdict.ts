import type { Tally } from '../ledger.ts'
import type { SideResult } from './run-side.ts'

export interface Verdict {
  readonly passed: boolean
  /** What is wrong, one sentence each; empty when the run passed. */
  readonly problems: readonly string[]
}

/**
 * The run passes if Waybill's side is without fault *and* the naive side is not: if nothing went wrong there, the faults
 * were too mild to prove anything.
 * @param naive undefined if it was left out
 */
export function judge(
  naive: SideResult | undefined,
  waybill: SideResult,
  groups: number,
  killsAsked: number,
): Verdict {
  const problems: string[] = []
  const landed = killsLanded(naive, waybill)
  if (landed < killsAsked)
    problems.push(`only ${landed} of ${killsAsked} kills landed in flight${naive ? ' on both sides' : ''}`)
  const expected = waybill.committed * groups
  const { once, ...faults } = waybill.ledger.total
  if (once !== expected) problems.push(`Waybill: ${once} of ${expected} effects happened exactly once`)
  for (const [name, count] of Object.entries(faults)) {
    if (count !== 0) problems.push(`Waybill: ${count} ${name}`)
  }
  for (const name of ['lost', 'duplicate', 'phantom'] as const) {
    if (naive?.ledger.total[name] === 0)
      problems.push(`naive: nothing is ${name}, so this run proves nothing about it`)
  }
  for (const { name, unanswered } of naive ? [naive, waybill] : [waybill]) {
    if (unanswered > 0) problems.push(`${name}: ${unanswered} payments were never answered`)
  }
  return { passed: problems.length === 0, problems }
}

export function killsLanded(naive: SideResult | undefined, waybill: SideResult): number {
  return Math.min(naive?.victims.length ?? Infinity, waybill.victims.length)
}

type JsonSide = Tally & { readonly committed: number; readonly effectsPerSecond: number } & Record<
    string,
    unknown
  >

export interface JsonResult {
  readonly orders: number
  readonly committed: number
  readonly groups: number
  readonly kills: number
  readonly naive?: JsonSide
  readonly waybill: JsonSide
  readonly seed: number
  /** Of Waybill's side. */
  readonly database: string
  readonly passed: boolean
  readonly problems: readonly string[]
}

/** The object of `--json`. The order of the first keys is part of its contract; the others are for the curious. */
export function toJson(
  run: {
    orders: number
    groups: number
    seed: number
    database: string
    naive: SideResult | undefined
    waybill: SideResult
  },
  verdict: Verdict,
): JsonResult {
  const { orders, groups, seed, database, naive, waybill } = run
  return {
    orders,
    committed: waybill.committed,
    groups,
    kills: killsLanded(naive, waybill),
    ...(naive ? { naive: sideToJson(naive) } : {}),
    waybill: sideToJson(waybill),
    seed,
    database,
    ...verdict,
  }
}

function sideToJson(side: SideResult): JsonSide {
  return {
    ...side.ledger.total,
    committed: side.committed,
    kills: side.victims.length,
    killsOf: countBy(side.victims),
    effectsPerSecond: side.effectsPerSecond,
    latencyMs: side.latencyMs,
    repeatedCallbacks: side.repeatedCallbacks,
    seconds: Math.round(side.seconds * 10) / 10,
    perGroup: Object.fromEntries(side.ledger.perGroup),
  }
}

export function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
