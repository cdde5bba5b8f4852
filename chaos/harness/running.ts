import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../../src/testing/index.ts'

export interface Event {
  readonly type: string
  readonly [fact: string]: unknown
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const outputMax = 20_000
/** Generous: a busy machine is no fault. */
const saysWithinMs = 60_000
/** Hundreds of processes are started here; without it, most of the time goes into compiling. */
const compileCache = join(tmpdir(), 'waybill-chaos-compile-cache')

/** A process that a test started, and what it said. */
export class Running {
  readonly name: string
  readonly ended: Promise<Ended>
  readonly events: Event[] = []
  output = ''
  #end: Ended | undefined
  readonly #child: ChildProcess

  constructor(program: string, configFile: string, env: Readonly<Record<string, string>>) {
    this.name = program
    const file = fileURLToPath(new URL(`../programs/${program}.ts`, import.meta.url))
    this.#child = fork(file, [configFile], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: compileCache,
        WAYBILL_CRASH_AT: '',
        CHAOS_STOP_AT: '',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child.on('message', (event) => this.events.push(event as Event))
    const keep = (text: Buffer): void => {
      this.output = (this.output + text.toString()).slice(-outputMax)
    }
    this.#child.stdout!.on('data', keep)
    this.#child.stderr!.on('data', keep)
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      // 'close' and not 'exit': by then all its output has been read.
      this.#child.once('close', (code, signal) => resolve((this.#end = { code, signal })))
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  get isRunning(): boolean {
    return this.#end === undefined
  }

  /** Waits until it says something. Fails at once if it ends without having said it. */
  async says(type: string, fits: (event: Event) => boolean = () => true): Promise<Event> {
    const hasSaid = (): Event | undefined => {
      const event = this.events.find((said) => said.type === type && fits(said))
      if (!event && this.#end)
        throw new Error(
          `${this.name} ended (${JSON.stringify(this.#end)}) before it said ${type}:\n${this.output}`,
        )
      return event
    }
    return until(`${this.name} (${this.pid}) says ${type}`, hasSaid, saysWithinMs)
  }

  tell(event: Event): void {
    if (this.#child.connected) this.#child.send(event)
  }

  async kill(): Promise<Ended> {
    return this.#signal('SIGKILL')
  }

  /** SIGTERM: it stops its Waybill and ends by itself. Before it has begun to start it has no handler for the signal, and would die of it. */
  async terminate(): Promise<Ended> {
    const isHeard = (): boolean =>
      this.#end !== undefined || this.events.some(({ type }) => type === 'starting' || type === 'ready')
    await until(`${this.name} (${this.pid}) hears SIGTERM`, isHeard, saysWithinMs)
    return this.#signal('SIGTERM')
  }

  async #signal(signal: NodeJS.Signals): Promise<Ended> {
    if (this.#end === undefined) this.#child.kill(signal)
    return this.ended
  }

  pause(): void {
    this.#child.kill('SIGSTOP')
  }

  async standStill(): Promise<void> {
    this.pause()
    await this.standsStill()
  }

  /** Waits until it is stopped, by the test or by itself. */
  async standsStill(): Promise<void> {
    await until(`${this.name} (${this.pid}) stands still`, () => {
      if (this.#end) throw new Error(`${this.name} ended instead of standing still:\n${this.output}`)
      return /^State:\s+T/m.test(readFileSync(`/proc/${this.pid}/status`, 'utf8'))
    })
  }

  goOn(): void {
    this.#child.kill('SIGCONT')
  }
}
