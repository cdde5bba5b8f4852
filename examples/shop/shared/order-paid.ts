/** The one event of the shop, and the five services that act on it. */

export const orderPaid = 'order.paid'

export interface OrderPaidBody {
  readonly orderId: string
  readonly userId: string
  readonly amount: number
  /** For the latency that the witness prints. */
  readonly publishedAtMs: number
}

export const groups = ['red-packet', 'coupon', 'warehouse', 'logistics', 'recommendation'] as const
export type Group = (typeof groups)[number]
