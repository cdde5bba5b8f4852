/** What every program of the crash tests does alike: its configuration, its talk with the test, its end. */
import { readFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { reasonOf } from '../../src/core/errors.ts'
import { crashPoints } from '../../src/testing/index.ts'
import type { CrashPoint, Ports } from '../../src/core/ports.ts'

// What is killed writes no cache at its end, and every process here begins by compiling the same files.
flushCompileCache()

/** The configuration is a JSON file that the one argument names. */
export function configuration<Config>(): Config {
  return JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Config
}

/** Tells the test that something happened: an event to wait for, instead of sleeping. */
export function tell(event: Readonly<Record<string, unknown>> & { readonly type: string }): void {
  process.send?.(event)
}

const heard = new Map<string, ((event: Readonly<Record<string, unknown>>) => void)[]>()

export function on(type: string, run: (event: Readonly<Record<string, unknown>>) => void): void {
  heard.set(type, [...(heard.get(type) ?? []), run])
}

process.on('message', (event: { readonly type: string }) => {
  for (const run of heard.get(event.type) ?? []) run(event as unknown as Readonly<Record<string, unknown>>)
})

/** A test that died must leave no process behind. */
let isLeaving = false
process.on('disconnect', () => {
  if (!isLeaving) process.exit(1)
})

/** Says goodbye to the test. The process then ends by itself, if nothing is left that keeps it running. */
export function leave(): void {
  isLeaving = true
  process.disconnect()
}

/** SIGTERM ends it in order. Nothing calls `process.exit`: a stopped Waybill leaves nothing open that keeps a process alive. */
export function stopOnTerminate(stop: () => Promise<void>): void {
  process.once('SIGTERM', () => {
    tell({ type: 'stopping' })
    void (async () => {
      await stop()
      leave()
    })()
  })
}

/** One short line, shown with a test that failed. What tests have planted is no news. */
function say({ err }: { readonly err?: unknown }, message: string): void {
  if (reasonOf(err).startsWith('planted')) return
  process.stderr.write(`${message}${err === undefined ? '' : `: ${reasonOf(err)}`}\n`)
}

/**
 * `WAYBILL_CRASH_AT` dies at a point. `CHAOS_STOP_AT` (name, or name:passage) stands still there, as under SIGSTOP or a long
 * pause, until SIGCONT: what wakes up then is a zombie that still believes in its leases.
 */
export function portsOfTest(): Pick<Ports, 'reached' | 'log'> {
  const crash = crashPoints()
  const [stopAt, passage = '1'] = (process.env['CHAOS_STOP_AT'] ?? '').split(':')
  let passages = 0
  return {
    log: { debug: () => {}, info: () => {}, warn: say, error: say },
    reached: (point: CrashPoint) => {
      crash.reached(point)
      if (point === stopAt && ++passages === Number(passage)) process.kill(process.pid, 'SIGSTOP')
    },
  }
}
