import type { Figure, Run, Unit } from './bench.ts'
import { whyInconclusive } from './control.ts'

/**
 * Three files for one question: do many that wait slow down those that do not? `again` is a second empty one, the control, and
 * `waiting` holds the many.
 */
export const files = ['empty', 'again', 'waiting'] as const
export type File = (typeof files)[number]
export type Paths = Readonly<Record<File, string>>

export type Rates = Readonly<Record<File, number[]>>

/** What happens in every round. `before` is not timed. */
export interface Round {
  before?(): Promise<void>
  /** Blocks on each file; where several are possible, whatever else the machine does meets all files alike. */
  readonly blocks: number
  /** What is done in one block. */
  readonly size: number
  /** Answers the seconds that it took. */
  block(path: string): Promise<number>
}

/** Runs the same blocks on each of the files, in random order. The first round warms up and does not count. */
export async function compare(
  run: Run,
  what: string,
  paths: Paths,
  rounds: number,
  { before, blocks, size, block }: Round,
): Promise<Rates> {
  const rates: Rates = { empty: [], again: [], waiting: [] }
  run.progress.begin(what, (rounds + 1) * blocks * files.length)
  for (let round = 0; round <= rounds; round++) {
    await before?.()
    const seconds: Record<File, number> = { empty: 0, again: 0, waiting: 0 }
    for (let i = 0; i < blocks; i++)
      for (const file of run.random.shuffled(files)) {
        seconds[file] += await block(paths[file])
        run.progress.step()
      }
    if (round === 0) continue
    for (const file of files) rates[file].push((blocks * size) / seconds[file])
  }
  return rates
}

/** The ratios are taken within a round. */
export function figuresOf({ empty, again, waiting }: Rates, unit: Unit): readonly Figure[] {
  const control = ratios(again, empty)
  return [
    { name: 'empty', label: 'with none waiting', unit, values: empty },
    { name: 'waiting', label: 'with a million waiting', unit, values: waiting },
    { name: 'control', label: 'control: none ÷ none', unit: 'ratio', values: control },
    {
      name: 'ratio',
      label: 'with a million ÷ with none',
      unit: 'ratio',
      values: ratios(waiting, empty),
      goal: { atLeast: 0.8 },
      inconclusive: whyInconclusive(control),
    },
  ]
}

function ratios(some: readonly number[], others: readonly number[]): number[] {
  return some.map((rate, round) => rate / others[round]!)
}
