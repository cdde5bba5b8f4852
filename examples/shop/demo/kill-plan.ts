import type { Random } from '../random.ts'
import { type Group, groups } from '../shared/order-paid.ts'

export type Victim = 'order' | Group

export interface PlannedKill {
  readonly victim: Victim
  /** When in its portion of the orders, from 0 to 1. */
  readonly portionDone: number
  /** A little later than the moment that was aimed at, so that kills fall anywhere within a handler. */
  readonly delayMs: number
}

const delayMsMax = 8

/**
 * Of every three victims one is the order service and two are consumers, in turn and in an order that the seed draws. The
 * first is always a consumer. Endless: a kill that does not land in flight is followed by another.
 */
export function* planKills(random: Random): Generator<PlannedKill, never> {
  let consumers: Group[] = []
  for (;;) {
    const orderAt = random.between(1, 2)
    for (let place = 0; place < 3; place += 1) {
      if (consumers.length === 0) consumers = random.shuffle(groups)
      const consumer = place === orderAt ? undefined : consumers.shift()
      yield {
        victim: consumer ?? 'order',
        portionDone: 0.2 + 0.5 * random.next(),
        delayMs: random.between(0, delayMsMax),
      }
    }
  }
}

/** How many orders to let through for the next kill: an even share, and one share is left for the time after the last. */
export function nextPortion(ordersLeft: number, killsLeft: number): number {
  return Math.min(ordersLeft, Math.max(1, Math.floor(ordersLeft / (killsLeft + 1))))
}

export interface Aim {
  readonly victim: Victim
  /** Not before so many payments have been answered. */
  readonly answeredMin: number
  /** For the order service: not before so many callbacks are in flight. */
  readonly callbacksMin: number
  readonly delayMs: number
}

/** The payment system has eight callbacks in flight when it is busy; half of them make it busy. */
const callbacksWhenBusy = 4

/** Fits a planned kill to its portion: a small one is over soon, so the moment has to be met more closely. */
export function aimAt(kill: PlannedKill, openedBefore: number, portion: number): Aim {
  return {
    victim: kill.victim,
    answeredMin: openedBefore + Math.floor(portion * kill.portionDone),
    callbacksMin: Math.max(1, Math.min(callbacksWhenBusy, Math.floor(portion / 4))),
    delayMs: Math.min(kill.delayMs, Math.floor(portion / 4)),
  }
}
