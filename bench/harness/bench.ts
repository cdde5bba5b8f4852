import type { Progress } from './progress.ts'
import type { Random } from './random.ts'

/**
 * The words of this folder:
 * - A *bench* is what `npm run bench -- <name>` runs: a list of measures. A new one is one file and one line in `benches.ts`.
 * - A *measure* answers one question with a few figures. `--only` picks measures by name.
 * - A *figure* is one number's rounds; shown as median (min–max), n. Some have a goal.
 */
export interface Bench {
  readonly name: string
  readonly about: string
  readonly measures: readonly Measure[]
  /** What was set, for whoever reads the figures later. */
  settings(run: Run): Readonly<Record<string, unknown>>
}

export interface Measure {
  readonly name: string
  readonly title: string
  measure(run: Run): Promise<Findings>
}

/** One run of a bench. */
export interface Run {
  /** Small numbers: shows that the bench works, and nothing about speed. */
  readonly quick: boolean
  /** Rounds asked for, by benches that let one choose; each measure has its own number if undefined. */
  readonly rounds: number | undefined
  /** Messages that a history measure is to have behind it, by benches that let one choose. */
  readonly history: number | undefined
  readonly random: Random
  readonly progress: Progress
  /** A new path in the run's own folder, which is removed at the end. */
  scratch(name: string): string
  /** What several measures need, such as a large file, made by the first that asks. */
  shared<T>(name: string, make: () => Promise<T>): Promise<T>
  /** Called when the run ends, however it ends; the last one first. */
  atEnd(cleanUp: () => Promise<void>): void
}

export interface Findings {
  /** What was done, in a sentence or two. */
  readonly how: string
  readonly figures: readonly Figure[]
}

export interface Figure {
  /** Unique in its measure, lower case: `slow-down`. */
  readonly name: string
  readonly label: string
  readonly unit: Unit
  /** One value a round. */
  readonly values: readonly number[]
  readonly goal?: Goal
  /** The name under which the JSON also gives this figure's median among its `ratios`. */
  readonly ratio?: string
  /** Why the figure proves nothing, such as a control that is off. Its goal is then neither met nor missed. */
  readonly inconclusive?: string | undefined
}

export type Unit = 'tx/s' | 'msg/s' | 'ratio' | 'ms' | 'µs' | 'MiB' | 'B/msg'

export type Goal = { readonly atMost: number } | { readonly atLeast: number }
