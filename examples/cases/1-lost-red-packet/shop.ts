import { join } from 'node:path'
import { until } from 'waybill/testing'
import type { SideName } from '../../shop/demo/sides.ts'
import { callJson } from '../../shop/shared/http.ts'
import type { Group } from '../../shop/shared/order-paid.ts'
import type { Books } from '../case.ts'
import { CaseSide } from '../harness/side.ts'

const group: Group = 'red-packet'
const answerWithinMs = 10_000
const settledWithinMs = 60_000

/** One side of this case: an order service, and the service that issues red packets. */
export class Shop {
  readonly side: CaseSide
  #port = 0

  private constructor(side: CaseSide) {
    this.side = side
  }

  static async open(name: SideName): Promise<Shop> {
    const shop = new Shop(await CaseSide.open(name))
    try {
      await shop.#start()
      return shop
    } catch (error) {
      await shop.side.close()
      throw error
    }
  }

  async #start(): Promise<void> {
    const { name, services } = this.side
    const program = (service: string): string => join(import.meta.dirname, name, `${service}.ts`)
    const [{ port }] = await Promise.all([
      services.start({ name: 'order', program: program('order') }),
      services.start({ name: group, program: program(group) }),
    ])
    this.#port = Number(port)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.side.close()
  }

  /** The payment system's callback. Back when the order service has answered. */
  async pay(orderId: string): Promise<void> {
    const callback = { orderId, userId: 'user-1', amount: 100 }
    await callJson('POST', `http://127.0.0.1:${this.#port}/payments/callback`, callback, {
      timeoutMs: answerWithinMs,
    })
  }

  async payAll(orderIds: readonly string[]): Promise<void> {
    for (const orderId of orderIds) await this.pay(orderId)
  }

  /** Waits until a send has failed since `before`: only then has the fault done anything. */
  async untilSendFails(before: number): Promise<void> {
    await this.#until('a send fails', () => this.failedSends > before)
  }

  get failedSends(): number {
    return this.side.network.unanswered('/publish')
  }

  /** Waits until the broker has so many messages, and the order service its answer: what was not answered would be sent again. */
  async untilBrokerHas(count: number): Promise<void> {
    const { broker } = this.side
    await this.#until('the broker has it', async () => (await broker.client.health()).published >= count)
    const waiting = "select 1 from waybill_v_lag where reader = '@relay' and waiting > 0"
    await this.#until(
      'the order service knows',
      () => this.side.rows('order', 'waybill_v_lag', waiting).length === 0,
    )
  }

  /** Dies between taking the message over and being through with it, wherever this side's program is then vulnerable. */
  async killRedPacketAtWork(): Promise<{ readonly dead: Promise<void> }> {
    const isNaive = this.side.name === 'naive'
    return this.side.services.killAt(
      group,
      isNaive ? 'acknowledged, not worked' : 'consume.handled-not-committed',
    )
  }

  /** Waits for so many effects, and until no order is pending any more. */
  async untilSettled(effects: number): Promise<void> {
    await this.#until(`there are ${effects} red packets`, () => this.side.effects(group) >= effects)
    await this.side.untilNothingIsPending([group], settledWithinMs)
  }

  async books(only?: readonly string[]): Promise<Books> {
    return (await this.side.ledger([group], only)).total
  }

  /** Who is lost, as the witness sees it. */
  async lost(): Promise<readonly string[]> {
    const { offenders } = await this.side.ledger([group])
    return offenders.filter((one) => one.class === 'lost').map(({ orderId }) => orderId)
  }

  get databases(): Readonly<Record<string, string>> {
    const { services } = this.side
    return { order: services.databaseOf('order'), [group]: services.databaseOf(group) }
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    await Promise.race([until(what, condition, settledWithinMs), this.side.failure])
  }
}
