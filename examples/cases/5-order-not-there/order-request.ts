import type { PaymentCallback } from '../../shop/shared/payment-callback.ts'

/** How the event of an order is sent. The naive order service knows only one way: inside the transaction, to the broker. */
export type Cure = 'after the commit' | 'half message' | 'local message table'

/**
 * What happens to the order's transaction when the event has been written or sent and the commit is next: it is slow, it rolls back, or it
 * commits and the process dies the moment after.
 */
export type Fate = 'slow' | 'rolls back' | 'dies after it'

export interface OrderRequest extends PaymentCallback {
  readonly cure: Cure
  readonly fate: Fate
}

/** `mayDieAt` here. */
export const behindTheCommit = 'committed, nothing done since'
