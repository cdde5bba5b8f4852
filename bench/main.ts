/**
 * `npm run bench -- sqlite [--json]`: measures, prints a table and says which goals are met. How to read it:
 * docs/performance.md.
 *
 * Exit status: 0 measured, whether or not the goals are met; 1 the run failed; 2 wrong usage.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { benches } from './benches.ts'
import type { Run } from './harness/bench.ts'
import { nowMs, secondsSince } from './harness/clock.ts'
import { describeEnvironment, environmentOf } from './harness/environment.ts'
import { showProgress } from './harness/progress.ts'
import { Random } from './harness/random.ts'
import { type Measured, toJson, toLines } from './harness/report.ts'
import { UsageError } from './harness/usage-error.ts'
import { type BenchOptions, readOptions } from './options.ts'

const interruptedStatus = 130

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), benches)
  if (options === undefined) return
  if (!existsSync(fileURLToPath(import.meta.resolve('waybill'))))
    throw new UsageError('the bench measures what users install, from dist: run "npm run build" first')
  const folder = scratchFolder(options.folder ?? tmpdir())
  await runAll(options, folder)
}

async function runAll(options: BenchOptions, folder: string): Promise<void> {
  const { chosen, quick, seed } = options
  const environment = environmentOf(folder)
  const startedAt = new Date().toISOString()
  const startMs = nowMs()
  console.log(describeEnvironment(environment))
  if (quick) console.log('QUICK: the numbers are far too small to say anything about speed.')
  const run = newRun(options, folder)
  const all: Measured[] = []
  try {
    for (const { bench, measures } of chosen) {
      for (const { name, title, measure } of measures) {
        const measured = { bench: bench.name, measure: name, title, findings: await measure(run) }
        run.progress.end()
        all.push(measured)
        for (const line of toLines(measured)) console.log(line)
      }
    }
  } finally {
    await cleanUp()
  }
  const { figures, goals, ratios } = toJson(all)
  console.log('')
  for (const verdict of ['met', 'missed', 'inconclusive'] as const) {
    const names = goals.filter((goal) => goal.verdict === verdict).map((goal) => goal.figure)
    if (names.length > 0) console.log(`goals ${verdict}: ${names.join(', ')}`)
  }
  if (!options.json) return
  const settings = Object.fromEntries(chosen.map(({ bench }) => [bench.name, bench.settings(run)]))
  const seconds = Math.round(secondsSince(startMs))
  console.log(
    JSON.stringify({ startedAt, seconds, quick, seed, environment, settings, figures, goals, ratios }),
  )
}

function newRun({ quick, seed, rounds, history }: BenchOptions, folder: string): Run {
  let made = 0
  const shared = new Map<string, Promise<unknown>>()
  return {
    quick,
    rounds,
    history,
    random: new Random(seed),
    progress: showProgress(),
    scratch: (name) => join(folder, `${++made}-${name}`),
    shared<T>(name: string, make: () => Promise<T>) {
      if (!shared.has(name)) shared.set(name, make())
      return shared.get(name) as Promise<T>
    },
    atEnd: (end) => void ends.push(end),
  }
}

/** Servers and the like, which would outlive this process. */
const ends: (() => Promise<void>)[] = []

let isInterrupted = false

function interrupt(): void {
  isInterrupted = true
  // What is under way fails when its server goes, which is nothing to report.
  process.on('uncaughtException', () => {})
  void cleanUp().finally(() => process.exit(interruptedStatus))
}

async function cleanUp(): Promise<void> {
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) await end()
}

/** A new folder that goes when this process ends, however it ends. An 'exit' listener must be synchronous. */
function scratchFolder(parent: string): string {
  if (!existsSync(parent)) throw new UsageError('the folder given with --folder does not exist')
  const folder = mkdtempSync(join(parent, 'waybill-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupt)
  return folder
}

try {
  await main()
} catch (error) {
  if (!isInterrupted) {
    if (error instanceof UsageError) console.error(error.message)
    else console.error(error)
    process.exit(error instanceof UsageError ? 2 : 1)
  }
}
