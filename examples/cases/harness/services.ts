import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Facts, Fleet } from '../../shop/demo/fleet.ts'
import { takeAway } from './databases.ts'

export interface Service {
  /** The service's name; a consumer's is that of its group, which is where the ledger looks for its effects. */
  readonly name: string
  /** Its program, a .ts file that takes the arguments of `examples/shop/shared/arguments.ts` and calls `reportReady`. */
  readonly program: string
  /** Besides --folder, --group, --broker-url and --incarnation. */
  readonly args?: readonly string[]
}

/** The services of one side: real processes, each with a folder of its own for its database. */
export class Services {
  readonly #fleet: Fleet
  readonly #folder: string
  readonly #brokerUrl: string
  readonly #told = new Map<string, (point: string) => void>()

  constructor(fleet: Fleet, folder: string, brokerUrl: string) {
    this.#fleet = fleet
    this.#folder = folder
    this.#brokerUrl = brokerUrl
  }

  /** The service's folder, in which it keeps `<name>.db`. */
  folderOf(name: string): string {
    return join(this.#folder, name)
  }

  databaseOf(name: string): string {
    return join(this.folderOf(name), `${name}.db`)
  }

  /** Starts a service for the first time. Answers what it reported when it was ready to work. */
  start({ name, program, args = [] }: Service): Promise<Facts> {
    const folder = this.folderOf(name)
    mkdirSync(folder, { recursive: true })
    this.#fleet.onMessage(name, (facts) => {
      if (facts['kind'] === 'will-die-at') this.#told.get(`${name} ${String(facts['point'])}`)?.(name)
    })
    const common = ['--folder', folder, '--group', name, '--broker-url', this.#brokerUrl]
    return this.#fleet.start({ name, file: program, args: [...common, ...args] })
  }

  /** Starts a service again that was stopped or killed: its next incarnation. */
  restart(name: string): Promise<Facts> {
    return this.#fleet.restart(name)
  }

  /** SIGTERM, and back when it has ended. */
  stop(name: string): Promise<void> {
    return this.#fleet.stop(name)
  }

  /** SIGKILL, as `kill -9`, and back when it is dead. */
  kill(name: string): Promise<void> {
    return this.#fleet.kill(name)
  }

  /**
   * From now on the service dies, as by `kill -9`, when it next passes a point of `mayDieAt`: between its work and its acknowledgement,
   * say. Resolves when it knows; `dead` when it has happened.
   */
  async killAt(name: string, point: string): Promise<{ readonly dead: Promise<void> }> {
    const knows = new Promise((told) => this.#told.set(`${name} ${point}`, told))
    this.#fleet.send(name, { kind: 'die-at', point })
    await Promise.race([knows, this.#fleet.failure])
    return { dead: this.#fleet.ended(name) }
  }

  /** "The database is down", for a service that was stopped. Answers how to put the database back. */
  takeDatabaseAway(name: string): () => void {
    return takeAway(this.folderOf(name))
  }
}
