import { Command, CommanderError, InvalidArgumentError } from 'commander'
import type { Bench, Measure } from './harness/bench.ts'
import { UsageError } from './harness/usage-error.ts'

export interface BenchOptions {
  readonly chosen: readonly Chosen[]
  readonly json: boolean
  readonly quick: boolean
  readonly seed: number
  /** Rounds of each measure of `peers`; what each measure does by itself if left out. */
  readonly rounds: number | undefined
  /** Messages of history in `peers/history`. */
  readonly history: number | undefined
  /** Where the databases are made; the system's folder for temporary files if left out. */
  readonly folder: string | undefined
}

export interface Chosen {
  readonly bench: Bench
  readonly measures: readonly Measure[]
}

interface Flags {
  readonly json?: true
  readonly quick?: true
  readonly seed: number
  readonly rounds?: number
  readonly history?: number
  readonly only?: readonly string[]
  readonly folder?: string
}

/**
 * @param args without the program's name
 * @returns undefined where help was asked for and printed
 * @throws UsageError
 */
export function readOptions(args: readonly string[], benches: readonly Bench[]): BenchOptions | undefined {
  const program = new Command()
    .name('npm run bench --')
    .description('Measures Waybill and says which goals are met. How to read it: docs/performance.md')
    .argument(
      '[names...]',
      `which benches, or measures of one as "peers/drain"; all if none is named: ${listOf(benches)}`,
    )
    .option('--json', 'print the result as one JSON object on the last line')
    .option('--quick', 'small numbers: shows that the bench works, and nothing about speed')
    .option('--seed <number>', 'draws the order of the blocks', wholeNumber, 1)
    .option('--only <measure...>', `only these measures: ${measuresOf(benches)}`)
    .option('--rounds <number>', 'rounds of each measure of peers', countingNumber)
    .option('--history <messages>', 'how long the history of peers/history is', countingNumber)
    .option('--folder <path>', 'where to make the databases: a folder on the disk to be measured')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
  try {
    program.parse(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return undefined
    throw new UsageError(`${error.message.replace(/^error: /, '')}; --help lists the options`)
  }
  const flags = program.opts<Flags>()
  return {
    chosen: choose(benches, program.args, flags.only),
    json: flags.json ?? false,
    quick: flags.quick ?? false,
    seed: flags.seed,
    rounds: flags.rounds,
    history: flags.history,
    folder: flags.folder,
  }
}

function choose(
  benches: readonly Bench[],
  names: readonly string[],
  only: readonly string[] | undefined,
): readonly Chosen[] {
  const wanted = names.map((name) => wantedBy(benches, name))
  const chosen =
    wanted.length === 0 ? benches : benches.filter((bench) => wanted.some((one) => one.bench === bench))
  const measures = measuresOf(chosen)
  const missing = only?.find((name) => !chosen.some((bench) => bench.measures.some((m) => m.name === name)))
  if (missing !== undefined)
    throw new UsageError(`there is no measure ${JSON.stringify(missing)}; there are: ${measures}`)
  const isWanted = (bench: Bench, { name }: Measure): boolean => {
    const ofBench = wanted.filter((one) => one.bench === bench)
    const isNamed =
      ofBench.length === 0 || ofBench.some(({ measure }) => measure === undefined || measure === name)
    return isNamed && (only === undefined || only.includes(name))
  }
  return chosen
    .map((bench) => ({ bench, measures: bench.measures.filter((measure) => isWanted(bench, measure)) }))
    .filter(({ measures: some }) => some.length > 0)
}

/** A bench, `peers`, or one measure of it, `peers/drain`. */
function wantedBy(
  benches: readonly Bench[],
  text: string,
): { readonly bench: Bench; readonly measure: string | undefined } {
  const [name, measure] = text.split('/', 2)
  const bench = benches.find((one) => one.name === name)
  if (bench === undefined)
    throw new UsageError(`there is no bench ${JSON.stringify(name)}; there are: ${listOf(benches)}`)
  if (measure !== undefined && !bench.measures.some((one) => one.name === measure))
    throw new UsageError(`there is no measure ${JSON.stringify(measure)}; there are: ${measuresOf([bench])}`)
  return { bench, measure }
}

function listOf(benches: readonly Bench[]): string {
  return benches.map((bench) => bench.name).join(', ')
}

function measuresOf(benches: readonly Bench[]): string {
  return benches.flatMap((bench) => bench.measures.map((measure) => measure.name)).join(', ')
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32)
    throw new InvalidArgumentError('give a whole number from 0 to 4294967295')
  return value
}

function countingNumber(text: string): number {
  const value = wholeNumber(text)
  if (value === 0) throw new InvalidArgumentError('give a whole number from 1')
  return value
}
