import { type Order, orders } from '../sqlite/messages.ts'

export const bodyBytes = 1024

const bodies = orders(bodyBytes)
const prefix = 'order-'
const digits = 9

/** An order of 1 KiB of JSON whose id has the number, so that each contestant's messages can be told apart and counted. */
export function numberedOrder(number: number): Order {
  return { ...bodies[number % bodies.length]!, id: orderId(number) }
}

export function orderId(number: number): string {
  return `${prefix}${String(number).padStart(digits, '0')}`
}

export function numberOf(id: string): number {
  return Number(id.slice(prefix.length))
}

/** Nothing handled for this long means that something is broken, which is better said than waited for. */
const stalledAfterMs = 60_000

/** Which of the messages 0 to count were handled. Work that was lost is credited to nobody. */
export class Tally {
  readonly #count: number
  readonly #seen: Uint8Array
  readonly #all = Promise.withResolvers<void>()
  #left: number

  constructor(count: number) {
    this.#count = count
    this.#seen = new Uint8Array(count)
    this.#left = count
  }

  readonly see = (number: number): void => {
    if (number >= this.#count) this.#all.reject(new Error(`nobody sent a message ${number}`))
    if (this.#seen[number] !== 0) return
    this.#seen[number] = 1
    if (--this.#left === 0) this.#all.resolve()
  }

  /**
   * Resolves once every message was handled at least once.
   * @throws Error if nothing is handled any more
   */
  async all(): Promise<void> {
    let before = this.#left
    const watch = setInterval(() => {
      if (this.#left === before)
        this.#all.reject(new Error(`${this.#left} of ${this.#count} messages are not handled`))
      before = this.#left
    }, stalledAfterMs)
    await this.#all.promise.finally(() => clearInterval(watch))
  }
}
