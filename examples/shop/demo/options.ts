import { readFileSync } from 'node:fs'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { generateOrders, type Order, parseOrders } from '../orders.ts'
import { ShopError } from '../shop-error.ts'
import { databaseNames } from './databases.ts'

export interface DemoOptions {
  readonly orders: readonly Order[]
  readonly kills: number
  readonly seed: number
  /** One of `databaseNames`, or the URL of a server. */
  readonly database: string
  readonly skipNaive: boolean
  readonly json: boolean
  readonly keep: boolean
}

interface Flags {
  readonly orders?: number
  readonly kills: number
  readonly seed: number
  readonly database: string
  readonly skipNaive?: true
  readonly input?: string
  readonly json?: true
  readonly keep?: true
}

const ordersDefault = 1000
const ordersMax = 1_000_000

/**
 * Throws ShopError for whatever the user got wrong. Undefined: help was asked for and printed.
 * @param args without the program's name
 */
export function readOptions(args: readonly string[]): DemoOptions | undefined {
  const program = new Command()
    .name('npm run demo --')
    .description(
      'Runs a shop twice on the same orders while its processes are killed: naive, then with Waybill.',
    )
    .option(
      '--orders <number>',
      `how many (default: ${ordersDefault}, or all of --input)`,
      wholeNumber(1, ordersMax),
    )
    .option(
      '--kills <number>',
      'how many kills must land while work is in flight, on each side',
      wholeNumber(0, 10_000),
      20,
    )
    .option(
      '--seed <number>',
      'draws the orders, the slow and failing calls, and the victims',
      wholeNumber(0, 2 ** 32 - 1),
      1,
    )
    .option(
      '--database <where>',
      `of Waybill's side: ${databaseNames.join(', ')}, or the URL of a server, postgres://… or mysql://…`,
      databasePlace,
      'sqlite',
    )
    .option('--input <file>', 'orders to use, one {"id","userId","amount","rollback"?} a line')
    .option('--skip-naive', "run Waybill's side only: the naive side is the same on every database")
    .option('--json', 'print the result as one JSON object on the last line')
    .option('--keep', 'keep the folder with the databases and logs')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
  try {
    program.parse(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return undefined
    throw new ShopError(
      'usage.bad-option',
      `${error.message.replace(/^error: /, '')}; --help lists the options`,
    )
  }
  if (program.args.length > 0) throw new ShopError('usage.bad-option', `nothing takes "${program.args[0]}"`)
  const flags = program.opts<Flags>()
  return {
    orders: ordersOf(flags),
    kills: flags.kills,
    seed: flags.seed,
    database: flags.database,
    skipNaive: flags.skipNaive ?? false,
    json: flags.json ?? false,
    keep: flags.keep ?? false,
  }
}

function ordersOf({ input, orders, seed }: Flags): readonly Order[] {
  if (input === undefined) return generateOrders(orders ?? ordersDefault, seed)
  const all = parseOrders(readInput(input))
  return all.slice(0, orders ?? all.length)
}

function readInput(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ShopError('input.unreadable', `cannot read ${path}: ${(cause as Error).message}`, { cause })
  }
}

function databasePlace(text: string): string {
  const isUrl = /^(?:postgres|postgresql|mysql|mariadb):$/.test(URL.parse(text)?.protocol ?? '')
  if (!isUrl && !databaseNames.some((name) => name === text))
    throw new InvalidArgumentError(
      `It must be ${databaseNames.join(', ')}, or a URL such as postgres://me@127.0.0.1:5432/postgres.`,
    )
  return text
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
    return value
  }
}
