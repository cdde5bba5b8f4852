import { type ChildProcess, fork } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ProcessSpec {
  readonly name: string
  /** The program, a .ts file. */
  readonly file: string
  readonly args: readonly string[]
  /** Besides this process's own. */
  readonly env?: Readonly<Record<string, string>>
}

export type Facts = Readonly<Record<string, unknown>>

interface Running {
  readonly spec: ProcessSpec
  readonly child: ChildProcess
  readonly exited: Promise<void>
  /** The controller is ending it, so its exit is no failure. */
  isEnding: boolean
  isReady: boolean
}

const readyWithinMs = 30_000
const politeStopMs = 5000
const logTailLines = 30

/** The processes of one side. Whatever was started here is ended here, by its own pid. */
export class Fleet {
  readonly #folder: string
  readonly #running = new Map<string, Running>()
  readonly #incarnations = new Map<string, number>()
  readonly #listeners = new Map<string, (facts: Facts) => void>()
  readonly #failure = Promise.withResolvers<never>()

  constructor(folder: string) {
    this.#folder = folder
    // Nobody may be waiting for it at the moment when it is rejected.
    this.#failure.promise.catch(() => undefined)
  }

  /** Rejects when a process ends that nobody ended, with the end of its log. */
  get failure(): Promise<never> {
    return this.#failure.promise
  }

  onMessage(name: string, listener: (facts: Facts) => void): void {
    this.#listeners.set(name, listener)
  }

  send(name: string, message: Record<string, unknown>): void {
    this.#running.get(name)?.child.send(message)
  }

  isReady(name: string): boolean {
    return this.#running.get(name)?.isReady ?? false
  }

  /** Resolves with what the process reports when it is ready to work. */
  async start(spec: ProcessSpec): Promise<Facts> {
    const { name, file, args, env } = spec
    const incarnation = (this.#incarnations.get(name) ?? 0) + 1
    this.#incarnations.set(name, incarnation)
    const log = openSync(this.#logOf(name), 'a')
    const withIncarnation =
      name === 'broker' || name === 'payment' ? args : [...args, '--incarnation', `${incarnation}`]
    const child = fork(file, withIncarnation, {
      stdio: ['ignore', log, log, 'ipc'],
      execArgv: [],
      env: { ...process.env, ...env },
    })
    closeSync(log)
    const { promise: exited, resolve } = Promise.withResolvers<void>()
    const running: Running = { spec, child, exited, isEnding: false, isReady: false }
    this.#running.set(name, running)
    child.once('error', (error) => this.#failure.reject(error))
    child.once('exit', (code, signal) => {
      running.isReady = false
      resolve()
      if (!running.isEnding) this.#failure.reject(this.#unexpectedExit(name, code, signal))
    })
    return await Promise.race([this.#ready(running), this.failure])
  }

  /** SIGKILL, and back when it is dead. */
  kill(name: string): Promise<void> {
    return this.#end(name, 'SIGKILL')
  }

  /** SIGTERM, and back when it has ended: politely, so that it may close its files. */
  stop(name: string): Promise<void> {
    return this.#end(name, 'SIGTERM')
  }

  /** For a process that will end by itself: that is no failure from now on. Resolves when it has ended. */
  async ended(name: string): Promise<void> {
    const running = this.#get(name)
    running.isEnding = true
    await running.exited
  }

  restart(name: string): Promise<Facts> {
    return this.start(this.#get(name).spec)
  }

  /** Politely first, so that services may close their files; then not. */
  async stopAll(): Promise<void> {
    const all = [...this.#running.values()]
    for (const running of all) {
      running.isEnding = true
      running.child.kill('SIGTERM')
    }
    const timer = setTimeout(() => this.killAllNow(), politeStopMs)
    await Promise.all(all.map(({ exited }) => exited))
    clearTimeout(timer)
  }

  /** Synchronous, for the exit of the controller itself. */
  killAllNow(): void {
    for (const running of this.#running.values()) {
      running.isEnding = true
      running.child.kill('SIGKILL')
    }
  }

  async #end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const running = this.#get(name)
    running.isEnding = true
    running.isReady = false
    running.child.kill(signal)
    await running.exited
  }

  #get(name: string): Running {
    const running = this.#running.get(name)
    if (running === undefined) throw new Error(`there is no process "${name}"`)
    return running
  }

  #ready(running: Running): Promise<Facts> {
    const { spec, child } = running
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${spec.name} was not ready within ${readyWithinMs} ms${this.#logTail(spec.name)}`))
      }, readyWithinMs)
      child.once('exit', () => clearTimeout(timer))
      child.on('message', (message) => {
        const facts = message as Facts
        if (facts['kind'] === 'ready') {
          clearTimeout(timer)
          running.isReady = true
          resolve(facts)
        } else this.#listeners.get(spec.name)?.(facts)
      })
    })
  }

  #unexpectedExit(name: string, code: number | null, signal: string | null): Error {
    const how = signal === null ? `code ${code}` : signal
    return new Error(`${name} ended by itself (${how})${this.#logTail(name)}`)
  }

  #logTail(name: string): string {
    const lines = readFileSync(this.#logOf(name), 'utf8').trimEnd().split('\n').slice(-logTailLines)
    return `; the end of its log:\n${lines.map((line) => `  ${line}`).join('\n')}`
  }

  #logOf(name: string): string {
    return join(this.#folder, `${name}.log`)
  }
}
