import type { Clock } from '../../core/clock.ts'
import type { QueueName } from '../../core/store.ts'
import { type StatementTexts, inSchema } from './connection.ts'
import type { PgDriver } from './driver.ts'
import { coded } from './errors.ts'
import { runMax } from './places.ts'

/** Rows that one window portion takes: enough to be cheap for each, few enough to be short. No run holds more. */
const portion = runMax

const rebase = 'select waybill_rebase() as began where not waybill_is_awake()'

/**
 * Puts what is newly committed into sequence, for all readers of this process at once: whoever asks while one is on its way waits for
 * the next, since the first may have looked too early. Remembers where queues end, so that a reader that has read everything asks
 * for nothing but whether there is anything new.
 */
export class Sequencing {
  readonly #driver: PgDriver<never>
  readonly #clock: Clock
  readonly #function: string
  readonly #rebase: string
  readonly #ends = new Map<string, number>()
  /** Grows whenever some queue gets new places. */
  #generation = 0
  /** Whether the last portion left some for the next. */
  #isBehind = false
  #running: Promise<void> | undefined
  #next: Promise<number> | undefined

  constructor(driver: PgDriver<never>, texts: StatementTexts, clock: Clock) {
    this.#clock = clock
    this.#driver = driver
    this.#function = inSchema('waybill_sequence', texts.schema)
    this.#rebase = inSchema(rebase, texts.schema)
  }

  /** Notices that the database may be in an older state than the one that is remembered (P12). Answers whether a new epoch began. */
  async rebase(): Promise<boolean> {
    try {
      const [row] = await this.#driver.alone(this.#rebase)
      return row?.['began'] === true
    } catch (error) {
      throw coded(error)
    }
  }

  /** The last place of a queue, as of the last portion. */
  endOf(queue: QueueName): number {
    return this.#ends.get(nameOf(queue)) ?? 0
  }

  /** Everything that was committed before the call. */
  async all(): Promise<void> {
    while ((await this.portion()) === portion);
  }

  /** One portion. Answers how many it took. Those who ask in one turn share one. */
  portion(): Promise<number> {
    this.#next ??= this.#begin()
    return this.#next
  }

  /**
   * Begins the next portion of a backlog, for a reader that will have read all places of its queue soon. If it fails, that reader will
   * hear of it once it asks itself.
   */
  ahead(): void {
    if (this.#isBehind) this.portion().catch(ignore)
  }

  async #begin(): Promise<number> {
    await new Promise<void>((turn) => void this.#clock.afterTurn(turn))
    await this.#running
    this.#next = undefined
    const taking = this.#once()
    this.#running = taking.then(ignore, ignore)
    return taking
  }

  async #once(): Promise<number> {
    const call = `${this.#function}(${portion}, ${this.#generation})`
    try {
      const [row] = await this.#driver.alone(`select taken_rows, at_generation, ends::text from ${call}`)
      this.#generation = Number(row!['at_generation'])
      const ends = JSON.parse(row!['ends'] ?? '[]') as readonly [string, number, number][]
      for (const [topic, queue, end] of ends) this.#ends.set(nameOf({ topic, queue }), end)
      const taken = Number(row!['taken_rows'])
      this.#isBehind = taken === portion
      return taken
    } catch (error) {
      throw coded(error)
    }
  }
}

function nameOf({ topic, queue }: QueueName): string {
  return `${topic}/${queue}`
}

const ignore = (): void => {}
