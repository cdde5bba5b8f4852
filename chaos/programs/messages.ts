import { type Topic, topic } from '../../src/index.ts'

/** What a test wants of one order. The orders of a run are numbered; `orderOf` says what each is like. */
export interface OrderBody {
  readonly n: number
  /** The sharding key. */
  readonly account: string
  /** This many first attempts of each group fail. */
  readonly failures?: number
  /** Its transaction rolls back after publishing. */
  readonly declined?: boolean
  /** Kills the process that handles it, until the test has healed the world (`healedFile`). */
  readonly poison?: boolean
  /** Its handler asks the test and waits for its leave. */
  readonly waits?: boolean
  /** Fails until the test has healed the world (`healedFile`). */
  readonly sick?: boolean
  /** This many deliveries fail in each group, whichever process makes them and however often it was redriven. */
  readonly sickFor?: number
}

export const healedFile = 'healed'

/** What a handler publishes in its own transaction, for a group that `issues`. */
export const Issued = topic<OrderBody>('coupon.issued')

export function ordersTopic(queues: number): Topic<OrderBody> {
  return topic<OrderBody>('order.placed', undefined, { queues })
}
