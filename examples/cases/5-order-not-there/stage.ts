import { join } from 'node:path'
import { until } from 'waybill/testing'
import type { Facts } from '../../shop/demo/fleet.ts'
import type { SideName } from '../../shop/demo/sides.ts'
import { callJson } from '../../shop/shared/http.ts'
import { CaseSide } from '../harness/side.ts'
import { vainLookUps } from './look-up.ts'
import { behindTheCommit, type OrderRequest } from './order-request.ts'

export const groups = ['warehouse', 'coupon'] as const
const patienceMs = 60_000
/** How long a commit takes with Waybill. On the naive side it takes until somebody has looked for the order in vain. */
const slowCommitMs = 1_000

/** One side with its services, where orders are placed and meet their fates. */
export class Stage {
  readonly side: CaseSide
  #order: Facts

  private constructor(side: CaseSide, order: Facts) {
    this.side = side
    this.#order = order
  }

  static async open(name: SideName): Promise<Stage> {
    const side = await CaseSide.open(name)
    const start = (service: string, program: string, args: readonly string[] = []) =>
      side.services.start({ name: service, program: join(import.meta.dirname, program), args })
    const order = await start('order', `${name}-order.ts`)
    await Promise.all(groups.map((group) => start(group, `${name}-consumer.ts`)))
    // Another instance, whose relay looks all the time, also while the first one has a transaction open.
    if (name === 'waybill')
      await start('order-2', 'waybill-order.ts', ['--folder', side.services.folderOf('order')])
    return new Stage(side, order)
  }

  /** Back when the consumers have done whatever comes of it. */
  async place(order: OrderRequest): Promise<void> {
    const play = {
      slow: this.#commitSlowly,
      'rolls back': this.#post,
      'dies after it': this.#dieBehindTheCommit,
    }
    await play[order.fate].call(this, order)
    await this.#allIsHandled()
  }

  /** Where what one of its consumers could not find is written down. */
  vainLookUps(): readonly string[] {
    const query = `select order_id from ${vainLookUps}`
    return this.side.rows('warehouse', vainLookUps, query).map((row) => String(row['order_id']))
  }

  close(): Promise<void> {
    return this.side.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #post(order: OrderRequest): Promise<void> {
    await callJson('POST', `http://127.0.0.1:${Number(this.#order['port'])}/orders`, order, {
      timeoutMs: patienceMs,
    })
  }

  /** The order service stops before its commit, and goes on when the consumers had their chance. */
  async #commitSlowly(order: OrderRequest): Promise<void> {
    let isAnswered = false
    const answered = this.#post(order).then(() => {
      isAnswered = true
    })
    const since = performance.now()
    const isLongEnough = (): boolean =>
      this.side.name === 'naive'
        ? this.vainLookUps().includes(order.orderId)
        : performance.now() - since >= slowCommitMs
    const letItGoOn = (): boolean => {
      // Again and again: it may not have stopped yet.
      if (!isAnswered) process.kill(Number(this.#order['pid']), 'SIGCONT')
      return isAnswered
    }
    const watched = until('the commit has been slow', isLongEnough, patienceMs).then(() =>
      until('the order is answered', letItGoOn, patienceMs),
    )
    await Promise.all([answered, watched])
  }

  async #dieBehindTheCommit(order: OrderRequest): Promise<void> {
    const { side } = this
    const { dead } = await side.services.killAt('order', behindTheCommit)
    const unanswered = this.#post(order).catch(() => {})
    await dead
    await unanswered
    this.#order = await side.services.restart('order')
  }

  async #allIsHandled(): Promise<void> {
    const { side } = this
    await side.untilNothingIsPending(groups, patienceMs)
    if (side.name === 'waybill') return
    const isAcknowledged = async (): Promise<boolean> => {
      const pending = await Promise.all(groups.map((group) => side.broker.client.pendingKeys(group)))
      return pending.flat().length === 0
    }
    await until('the broker has every acknowledgement', isAcknowledged, patienceMs)
  }
}
