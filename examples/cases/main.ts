/**
 * Runs one of the five production cases, naive and with Waybill, side by side on the same orders and faults:
 *   npm run case -- 3 [--json]
 *
 * Exit status: 0 as promised · 1 not, or the run failed · 2 wrong usage.
 */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type CaseModule, describeResult, judge, printingContext, titles, toJson } from './case.ts'

const interruptedStatus = 130
const usage = `npm run case -- N [--json]\n${Object.entries(titles)
  .map(([number, { en, zh }]) => `  ${number}  ${en} ${zh}`)
  .join('\n')}`

interface Options {
  readonly number: number
  readonly json: boolean
}

/** Undefined for wrong usage. */
function optionsOf(args: readonly string[]): Options | undefined {
  try {
    const options = { json: { type: 'boolean', default: false } } as const
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
    const number = Number(positionals[0])
    return positionals.length === 1 && number in titles ? { number, json: values.json } : undefined
  } catch {
    return undefined
  }
}

async function runCase({ number, json }: Options): Promise<number> {
  const folder = readdirSync(import.meta.dirname).find((name) => name.startsWith(`${number}-`))
  const { run }: CaseModule = await import(join(import.meta.dirname, String(folder), 'index.ts'))
  const say = (line: string): void => console.log(line)
  const { en, zh } = titles[number]!
  say(`case ${number}: ${en} ${zh}`)
  const result = await run(printingContext(say))
  for (const line of ['', ...describeResult(result)]) say(line)
  const problems = judge(result)
  for (const problem of problems) say(`✗ ${problem}`)
  say(problems.length === 0 ? '✓ as promised 符合承诺' : '✗ not as promised 不符合承诺')
  if (json) say(JSON.stringify(toJson(result)))
  return problems.length === 0 ? 0 : 1
}

async function main(): Promise<number> {
  const options = optionsOf(process.argv.slice(2))
  if (options === undefined) {
    console.error(usage)
    return 2
  }
  // The sides clean up when this process exits, whatever ends it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(interruptedStatus))
  return await runCase(options)
}

// Not by itself: what a failed case still waits for will not come, and Node 24.21 hangs in its own clean-up after some of the sockets that
// the network reset.
try {
  process.exit(await main())
} catch (error) {
  console.error(error)
  process.exit(1)
}
