import { type FSWatcher, watch as watchFile } from 'node:fs'
import type { Ports } from '../../core/ports.ts'
import type { SqliteConnection } from './driver.ts'

/** How long to look for the commit that a write announced: 1, 2, 4 … ms after it. Then polling has to find it. */
const lookFirstMs = 1
const lookMaxMs = 1_000

/**
 * Calls back once another connection, in whatever process, has committed. Every commit appends to the WAL file, but it is heard of
 * when it is written and can be seen only after its sync: whoever reads at once may find nothing, and nothing would call again.
 * So the connection that reads is asked, by `data_version`, until it sees the commit.
 */
export class WalWatch {
  readonly #reader: SqliteConnection
  readonly #ports: Ports
  readonly #path: string
  readonly #changed: () => void
  #watcher: FSWatcher | undefined
  #version: number
  #cancelLook: (() => void) | undefined

  constructor(reader: SqliteConnection, ports: Ports, path: string, changed: () => void) {
    this.#reader = reader
    this.#ports = ports
    this.#path = path
    this.#changed = changed
    this.#version = this.#dataVersion()
  }

  start(): void {
    try {
      this.#watcher = watchFile(`${this.#path}-wal`, { persistent: false }, () => this.#look(lookFirstMs))
      this.#watcher.on('error', (error) => {
        this.#warn(error, 'watching the WAL failed; new messages are found by polling')
        this.stop()
      })
    } catch (error) {
      this.#warn(error, 'the WAL cannot be watched; new messages are found by polling')
    }
  }

  stop(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#cancelLook?.()
  }

  #look(againInMs: number): void {
    this.#cancelLook?.()
    this.#cancelLook = undefined
    let version: number
    try {
      version = this.#dataVersion()
    } catch (error) {
      this.#warn(error, 'whether the file has changed could not be read')
      this.#changed()
      return
    }
    if (version !== this.#version) {
      this.#version = version
      this.#changed()
    } else if (againInMs < lookMaxMs)
      this.#cancelLook = this.#ports.clock.after(againInMs, () => this.#look(againInMs * 2))
  }

  #dataVersion(): number {
    return this.#reader.all('pragma data_version')[0]!['data_version'] as number
  }

  #warn(err: unknown, message: string): void {
    this.#ports.log.warn({ err, path: this.#path }, message)
  }
}
