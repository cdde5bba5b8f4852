import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BrokerClient } from '../../shop/broker/client.ts'
import type { Fleet } from '../../shop/demo/fleet.ts'
import { freePort } from '../../shop/demo/free-port.ts'

const program = join(import.meta.dirname, '../../shop/broker/main.ts')
const name = 'broker'

export interface BrokerOptions {
  readonly fleet: Fleet
  /** Where its files are. Created if it is not there. */
  readonly folder: string
  /** How long a delivery is hidden from its group. Default 1 s. */
  readonly leaseMs?: number
}

/** The example broker as a process that can be stopped, killed, started again on its port, and robbed of its files. */
export class BrokerProcess {
  readonly port: number
  readonly #options: BrokerOptions
  #isRunning = false

  private constructor(port: number, options: BrokerOptions) {
    this.port = port
    this.#options = options
  }

  static async start(options: BrokerOptions): Promise<BrokerProcess> {
    const broker = new BrokerProcess(await freePort(), options)
    await broker.start()
    return broker
  }

  /** For those who look at it from outside of the case. Services reach it through the network. */
  get client(): BrokerClient {
    return new BrokerClient(`http://127.0.0.1:${this.port}`)
  }

  async start(): Promise<void> {
    const { fleet, folder, leaseMs = 1_000 } = this.#options
    mkdirSync(folder, { recursive: true })
    const args = ['--folder', folder, '--port', `${this.port}`, '--lease-ms', `${leaseMs}`]
    await fleet.start({ name, file: program, args })
    this.#isRunning = true
  }

  /** SIGTERM. */
  async stop(): Promise<void> {
    this.#isRunning = false
    await this.#options.fleet.stop(name)
  }

  /** SIGKILL: as `kill -9`. */
  async kill(): Promise<void> {
    this.#isRunning = false
    await this.#options.fleet.kill(name)
  }

  /** The ids of Waybill's messages in its files, read there and not asked for. It may be up or down. */
  storedIds(): ReadonlySet<unknown> {
    const file = join(this.#options.folder, 'broker-messages.jsonl')
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    // What stands behind the last line break is still being written.
    const lines = text.split('\n').slice(0, -1)
    return new Set(lines.map((line) => JSON.parse(line).body?.id))
  }

  /** What a dead disk without a replica does. The broker must be down: a running one would go on with the files that it has open. */
  loseData(): void {
    if (this.#isRunning) throw new Error('stop or kill the broker before its files are deleted')
    rmSync(this.#options.folder, { recursive: true })
  }
}
