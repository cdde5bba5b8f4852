import { Command, CommanderError, InvalidArgumentError } from 'commander'
import type { Bench, Measure } from './harness/bench.ts'
import { UsageError } from './harness/usage-error.ts'

export interface BenchOptions {
  readonly chosen: readonly Chosen[]
  readonly json: boolean
  readonly quick: boolean
  readonly seed: number
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
    .argument('[names...]', `which benches; all if none is named: ${listOf(benches)}`)
    .option('--json', 'print the result as one JSON object on the last line')
    .option('--quick', 'small numbers: shows that the bench works, and nothing about speed')
    .option('--seed <number>', 'draws the order of the blocks', wholeNumber, 1)
    .option('--only <measure...>', `only these measures: ${measuresOf(benches)}`)
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
    folder: flags.folder,
  }
}

function choose(
  benches: readonly Bench[],
  names: readonly string[],
  only: readonly string[] | undefined,
): readonly Chosen[] {
  const unknown = names.find((name) => !benches.some((bench) => bench.name === name))
  if (unknown !== undefined)
    throw new UsageError(`there is no bench ${JSON.stringify(unknown)}; there are: ${listOf(benches)}`)
  const chosen = names.length === 0 ? benches : benches.filter((bench) => names.includes(bench.name))
  const missing = only?.find((name) => !chosen.some(({ measures }) => measures.some((m) => m.name === name)))
  if (missing !== undefined)
    throw new UsageError(`there is no measure ${JSON.stringify(missing)}; there are: ${measuresOf(chosen)}`)
  return chosen
    .map((bench) => ({
      bench,
      measures: bench.measures.filter(({ name }) => only === undefined || only.includes(name)),
    }))
    .filter(({ measures }) => measures.length > 0)
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
