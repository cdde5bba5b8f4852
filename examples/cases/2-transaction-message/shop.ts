import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { until } from 'waybill/testing'
import type { SideName } from '../../shop/demo/sides.ts'
import { callJson } from '../../shop/shared/http.ts'
import type { Group } from '../../shop/shared/order-paid.ts'
import { createOrdersTable, openDatabase } from '../../shop/shared/tables.ts'
import type { Books } from '../case.ts'
import { CaseSide } from '../harness/side.ts'

const group: Group = 'red-packet'
const answerWithinMs = 20_000
const impatientMs = 300
const untilWithinMs = 60_000

/** How the naive order service takes an order, for want of half messages. */
export type NaiveWay = 'commit-then-publish' | 'publish-then-commit'

/** One side of this case: an order service, its orders in a database of their own, and the service that issues red packets. */
export class Shop {
  readonly side: CaseSide
  #port = 0

  private constructor(side: CaseSide) {
    this.side = side
  }

  static async open(name: SideName): Promise<Shop> {
    const shop = new Shop(await CaseSide.open(name, { ordersIn: ['orders', 'order'] }))
    try {
      await shop.#start()
      return shop
    } catch (error) {
      await shop.side.close()
      throw error
    }
  }

  get isNaive(): boolean {
    return this.side.name === 'naive'
  }

  /** Back when the order service has answered. */
  async order(orderId: string, naiveWay: NaiveWay): Promise<void> {
    await this.#post(this.isNaive ? `/orders/${naiveWay}` : '/orders', orderId, answerWithinMs)
  }

  /** For an order that something is done to: that it is answered with an error, or not at all, is no surprise. */
  async tryToOrder(orderId: string, naiveWay: NaiveWay): Promise<void> {
    await this.order(orderId, naiveWay).catch(() => {})
  }

  /** As a caller who asks again what was not answered at once. Resolves with the answer to the second time. */
  async orderImpatiently(orderId: string, naiveWay: NaiveWay): Promise<{ readonly answered: Promise<void> }> {
    const path = this.isNaive ? `/orders/${naiveWay}` : '/orders'
    await this.#post(path, orderId, impatientMs).catch(() => {})
    return { answered: this.#post(path, orderId, answerWithinMs) }
  }

  async orderUnpaid(orderId: string): Promise<void> {
    await this.#post('/orders/unpaid', orderId, answerWithinMs)
  }

  async pay(orderId: string): Promise<void> {
    await this.#post('/orders/payment', orderId, answerWithinMs)
  }

  async restartOrderService(): Promise<void> {
    const { port } = await this.side.services.restart('order')
    this.#port = Number(port)
  }

  /** A second instance of the order service, on the same databases. The naive one has no use for it. */
  async startSecondInstance(): Promise<void> {
    if (this.isNaive) return
    const { services } = this.side
    const args = ['--folder', services.folderOf('order')]
    await services.start({ name: 'order-2', program: this.#program('order'), args })
  }

  /** Holds the write lock of the orders' database, as a long report or a migration does. Answers how to let go. */
  lockOrders(): () => void {
    const database = new DatabaseSync(this.#ordersFile, { timeout: untilWithinMs })
    database.exec('begin immediate')
    return () => {
      database.exec('rollback')
      database.close()
    }
  }

  /** What Waybill keeps of an order's half message. The naive side has none to wait for. */
  async untilHalf(orderId: string, what: string, condition: string): Promise<void> {
    if (this.isNaive) return
    const query = `select 1 from waybill_halves where key = '${orderId}' and ${condition}`
    await this.until(
      `the half message of ${orderId} ${what}`,
      () => this.side.rows('order', 'waybill_halves', query).length > 0,
    )
  }

  /** Waits until a send has failed since `before`: only then has the fault done anything. */
  async untilSendFails(before: number): Promise<void> {
    await this.until('a send fails', () => this.failedSends > before)
  }

  get failedSends(): number {
    return this.side.network.unanswered('/publish')
  }

  /** Waits for so many effects, and until no order is pending any more. */
  async untilSettled(effects: number): Promise<void> {
    await this.until(`there are ${effects} red packets`, () => this.side.effects(group) >= effects)
    await this.side.untilNothingIsPending([group], untilWithinMs)
  }

  async books(only?: readonly string[]): Promise<Books> {
    return (await this.side.ledger([group], only)).total
  }

  get databases(): Readonly<Record<string, string>> {
    const { services } = this.side
    return { order: services.databaseOf('order'), [group]: services.databaseOf(group) }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.side.close()
  }

  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    await Promise.race([until(what, condition, untilWithinMs), this.side.failure])
  }

  get #ordersFile(): string {
    return this.side.services.databaseOf('orders')
  }

  #program(service: string): string {
    // The naive consumer is that of case 1.
    const folder = this.isNaive && service === group ? '../1-lost-red-packet/naive' : this.side.name
    return join(import.meta.dirname, folder, `${service}.ts`)
  }

  async #start(): Promise<void> {
    const { services } = this.side
    mkdirSync(services.folderOf('orders'), { recursive: true })
    const database = openDatabase(this.#ordersFile)
    createOrdersTable(database)
    database.close()
    const [{ port }] = await Promise.all([
      services.start({ name: 'order', program: this.#program('order') }),
      services.start({ name: group, program: this.#program(group) }),
    ])
    this.#port = Number(port)
  }

  async #post(path: string, orderId: string, timeoutMs: number): Promise<void> {
    const callback = { orderId, userId: 'user-1', amount: 100 }
    await callJson('POST', `http://127.0.0.1:${this.#port}${path}`, callback, { timeoutMs })
  }
}
