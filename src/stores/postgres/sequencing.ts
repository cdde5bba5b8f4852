import type { QueueName } from '../../core/store.ts'
import { type StatementTexts, inSchema } from './connection.ts'
import type { PgDriver } from './driver.ts'
import { coded } from './errors.ts'
import { runMax } from './places.ts'

/** Rows that one window portion takes: enough to be cheap for each, few enough to be short. No run holds more. */
const portion = runMax

interface Portion {
  readonly taken: number
  /** Grows whenever some queue gets new places. */
  readonly generation: number
}

/**
 * Puts what is newly committed into sequence, for all readers of this process at once: whoever asks while one is on its way waits for
 * the next, since the first may have looked too early. Remembers where queues ended, so that a reader that has read everything asks
 * for nothing but whether there is anything new.
 */
export class Sequencing {
  readonly #driver: PgDriver<never>
  readonly #call: string
  readonly #ends = new Map<string, { readonly position: number; readonly generation: number }>()
  #running: Promise<Portion> | undefined
  #next: Promise<Portion> | undefined

  constructor(driver: PgDriver<never>, texts: StatementTexts) {
    this.#driver = driver
    this.#call = inSchema(`select taken_rows, at_generation from waybill_sequence(${portion})`, texts.schema)
  }

  /** One portion. Answers the generation: while it is the same, there is nothing new. */
  async portion(): Promise<number> {
    return (await this.#portion()).generation
  }

  /** Everything that was committed before the call. */
  async all(): Promise<void> {
    while ((await this.#portion()).taken === portion);
  }

  /** At which generation this position was seen to be the queue's last; undefined if it was not. */
  endedAt(queue: QueueName, position: number): number | undefined {
    const end = this.#ends.get(nameOf(queue))
    return end?.position === position ? end.generation : undefined
  }

  ended(queue: QueueName, position: number, generation: number): void {
    this.#ends.set(nameOf(queue), { position, generation })
  }

  #portion(): Promise<Portion> {
    if (!this.#running) return this.#start()
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#next
  }

  #start(): Promise<Portion> {
    this.#next = undefined
    this.#running = this.#once().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #once(): Promise<Portion> {
    try {
      const [row] = await this.#driver.alone(this.#call)
      return { taken: Number(row!['taken_rows']), generation: Number(row!['at_generation']) }
    } catch (error) {
      throw coded(error)
    }
  }
}

function nameOf({ topic, queue }: QueueName): string {
  return `${topic}/${queue}`
}
