import { HttpError } from './http.ts'

/** What the payment system sends to the order service, again and again until it is answered. */
export interface PaymentCallback {
  readonly orderId: string
  readonly userId: string
  readonly amount: number
  /** The account turns out to be frozen while the order is being written: the order must not come to be. */
  readonly rollback: boolean
  /** 1 at first, 2 when it is repeated, … */
  readonly notification: number
}

/** Both are final: the payment system stops repeating. */
export type PaymentAnswer = { readonly answer: 'paid' | 'declined' }

/** Thrown inside the order's transaction, so that it rolls back. */
export class AccountFrozen extends Error {
  override readonly name = 'AccountFrozen'
}

export function parsePaymentCallback(body: unknown): PaymentCallback {
  const {
    orderId,
    userId,
    amount,
    rollback = false,
    notification = 1,
  } = (body ?? {}) as Partial<PaymentCallback>
  const isValid =
    typeof orderId === 'string' &&
    orderId !== '' &&
    typeof userId === 'string' &&
    typeof amount === 'number' &&
    typeof rollback === 'boolean' &&
    typeof notification === 'number'
  if (!isValid) throw new HttpError(400, 'payment.bad-callback', 'needs orderId, userId and amount')
  return { orderId, userId, amount, rollback, notification }
}
