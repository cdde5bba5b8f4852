/**
 * Runs every test and says the result in one plain last line, `N passed, N failed[, N skipped]`, from vitest's own
 * counts. A run that executed nothing fails: an empty green run looks exactly like a good one.
 *
 * WAYBILL_REQUIRE_ALL=1 makes a skipped test a failure, for machines that are known to have all that the tests need. Why tests
 * are skipped is said before. Promises that a store, handle or transport does not claim by its nature are listed apart, and are
 * no skipped tests. What failed comes last, with its reason: who sees only the end of a long output needs just that.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'

interface TestResult {
  readonly status: string
  readonly title?: string
  readonly fullName?: string
  readonly failureMessages?: readonly string[]
}

interface FileResult {
  readonly name?: string
  readonly status: string
  readonly message?: string
  readonly assertionResults: readonly TestResult[]
}

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly FileResult[]
}

export interface Summary {
  readonly line: string
  readonly exitCode: number
  /** Conformance promises that do not apply, by name, once each. */
  readonly notClaimed: readonly string[]
  /** Every failed test and broken file, with the beginning of its reason. */
  readonly failures: readonly string[]
}

const notClaimedForm = /\(not claimed: .*\)$/
const reasonLines = 15

/** `report` is undefined when vitest died before it wrote one. */
export function summarize(report: Report | undefined, vitestExitCode: number, requireAll: boolean): Summary {
  const passed = report?.numPassedTests ?? 0
  const notClaimed = (report?.testResults ?? [])
    .flatMap((file) => file.assertionResults)
    .filter(
      ({ status, title = '' }) => status !== 'passed' && status !== 'failed' && notClaimedForm.test(title),
    )
    .map(({ title = '' }) => title)
  const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0) - notClaimed.length
  const brokenFiles = (report?.testResults ?? []).filter((file) => isBroken(file))
  const failed = (report?.numFailedTests ?? 0) + brokenFiles.length

  const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
  const lists = { notClaimed: [...new Set(notClaimed)], failures: failuresOf(report) }
  if (vitestExitCode !== 0) return { line, exitCode: vitestExitCode, ...lists }
  const bad = failed > 0 || passed === 0 || (requireAll && skipped > 0)
  return { line, exitCode: bad ? 1 : 0, ...lists }
}

/** A file that does not load, or whose hooks fail, has no failed test of its own: without this it would count as nothing. */
function isBroken(file: FileResult): boolean {
  return file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed')
}

function failuresOf(report: Report | undefined): readonly string[] {
  return (report?.testResults ?? []).flatMap((file) => {
    const path = relative(process.cwd(), file.name ?? '')
    if (isBroken(file)) return [`failed: ${path}\n${beginning(file.message ?? '')}`]
    return file.assertionResults
      .filter((test) => test.status === 'failed')
      .map(
        ({ fullName, title, failureMessages = [] }) =>
          `failed: ${path} > ${fullName ?? title}\n${beginning(failureMessages.join('\n'))}`,
      )
  })
}

function beginning(reason: string): string {
  return reason.split('\n').slice(0, reasonLines).join('\n')
}

async function main(): Promise<void> {
  const output = '.reports/vitest.json'
  mkdirSync(dirname(output), { recursive: true })
  rmSync(output, { force: true })

  const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
  const reporters = ['default', 'json', join(import.meta.dirname, 'skip-reasons.ts')].map(
    (name) => `--reporter=${name}`,
  )
  const child = spawn(
    process.execPath,
    [vitest, 'run', ...reporters, `--outputFile.json=${output}`, ...process.argv.slice(2)],
    {
      stdio: 'inherit',
    },
  )
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })

  const summary = summarize(readReport(output), exitCode, process.env['WAYBILL_REQUIRE_ALL'] === '1')
  process.exitCode = summary.exitCode
  for (const name of summary.notClaimed) console.log(`does not apply: ${name}`)
  for (const failure of summary.failures) console.log(failure)
  console.log(summary.line)
}

function readReport(path: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Report
  } catch {
    return undefined
  }
}

if (import.meta.main) await main()
