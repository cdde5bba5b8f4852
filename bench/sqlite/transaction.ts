import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { whyInconclusive } from '../harness/control.ts'
import { type Extra, type Shop, openShop } from './shop.ts'
import { sizes } from './sizes.ts'

/** What a publish costs the user's own business transaction. */
export const transactionMeasure: Measure = {
  name: 'transaction',
  title: 'The business transaction, with and without a publish',
  measure,
}

/** `byHand` is the floor: the same body in a table without a single index, no id, no check, no topic. */
const variants = ['plain', 'plainAgain', 'publish', 'byHand'] as const
type Variant = (typeof variants)[number]

const extraOf: Readonly<Record<Variant, Extra>> = {
  plain: 'nothing',
  plainAgain: 'nothing',
  publish: 'publish',
  byHand: 'byHand',
}

async function measure(run: Run): Promise<Findings> {
  const { transaction: counts, bodyBytes } = sizes(run)
  const { rounds, warmUp, slices, slice } = counts
  const shops = new Map<Variant, Shop>()
  for (const variant of variants)
    shops.set(variant, openShop(run.scratch(`${variant}.db`), extraOf[variant], bodyBytes))
  run.progress.begin('business transaction', rounds)
  // Until the WAL has been written to its end and is overwritten: one that still grows costs twice as much.
  for (const shop of shops.values()) shop.run(warmUp)
  const perSecond: Record<Variant, number[]> = { plain: [], plainAgain: [], publish: [], byHand: [] }
  for (let round = 0; round < rounds; round++) {
    const seconds = runRound(run, shops, slices, slice)
    for (const variant of variants) perSecond[variant].push((slices * slice) / seconds[variant])
    run.progress.step()
  }
  for (const shop of shops.values()) await shop.close()
  return {
    how: `begin immediate, insert an order, update an account, commit, on a node:sqlite handle of the user's (WAL, synchronous=FULL, warm WAL); each variant on a file of its own, and so with its own checkpoints. ${rounds} rounds of ${slices * slice} transactions for each variant, in turns of ${slice} in random order. Ratios are taken within a round.`,
    figures: figuresOf(perSecond),
  }
}

/** Takes turns in short slices, so that whatever else the machine does meanwhile meets all variants alike. */
function runRound(
  run: Run,
  shops: ReadonlyMap<Variant, Shop>,
  slices: number,
  slice: number,
): Record<Variant, number> {
  const seconds: Record<Variant, number> = { plain: 0, plainAgain: 0, publish: 0, byHand: 0 }
  for (let i = 0; i < slices; i++)
    for (const variant of run.random.shuffled(variants)) seconds[variant] += shops.get(variant)!.run(slice)
  return seconds
}

function figuresOf(perSecond: Record<Variant, number[]>): Figure[] {
  const { plain, plainAgain, publish, byHand } = perSecond
  const control = ratios(plain, plainAgain)
  return [
    { name: 'plain', label: 'without a publish', unit: 'tx/s', values: plain },
    { name: 'publish', label: 'with a publish of 1 KiB', unit: 'tx/s', values: publish },
    { name: 'added', label: 'a publish adds', unit: 'µs', values: added(plain, publish) },
    { name: 'by-hand-added', label: 'an outbox row by hand adds', unit: 'µs', values: added(plain, byHand) },
    { name: 'control', label: 'control: plain ÷ plain', unit: 'ratio', values: control },
    {
      name: 'by-hand',
      label: 'slow-down by an outbox row by hand',
      unit: 'ratio',
      values: ratios(plain, byHand),
    },
    {
      name: 'slow-down',
      label: 'slow-down by a publish',
      unit: 'ratio',
      values: ratios(plain, publish),
      goal: { atMost: 1.15 },
      inconclusive: whyInconclusive(control),
    },
  ]
}

function ratios(plain: readonly number[], other: readonly number[]): number[] {
  return plain.map((perSecond, round) => perSecond / other[round]!)
}

function added(plain: readonly number[], other: readonly number[]): number[] {
  return plain.map((perSecond, round) => 1e6 / other[round]! - 1e6 / perSecond)
}
