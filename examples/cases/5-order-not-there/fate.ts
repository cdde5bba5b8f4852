import { AccountFrozen } from '../../shop/shared/payment-callback.ts'
import type { OrderRequest } from './order-request.ts'

const untilStoppedMs = 100

/**
 * The last step of an order's transaction. *Slow*: the process stops (SIGSTOP) with its transaction open, as in a long garbage collection or
 * while its machine is moved, until somebody lets it go on (SIGCONT).
 */
export function meetFate({ fate, userId }: OrderRequest): void {
  if (fate === 'rolls back') throw new AccountFrozen(`the account of ${userId} is frozen`)
  if (fate !== 'slow') return
  process.kill(process.pid, 'SIGSTOP')
  // Between the signal and its delivery the transaction must not commit.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0, untilStoppedMs)
}
