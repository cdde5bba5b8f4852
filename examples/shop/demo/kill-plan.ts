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
  /** Not before the victim has so much in hand: callbacks to answer, or messages without an effect. */
  readonly inHandMin: number
  /** Not before it has done so much since it was started. */
  readonly doneMin: number
  readonly delayMs: number
}

/** The payment system calls eight at once; half of that is busy. Consumers have eight at once as well, but not for long. */
const inHandWhenBusy = { order: 4, consumer: 2 } as const
/**
 * All that its predecessor had in hand. Less would strike again and again at the very messages that the last kill struck;
 * a consumer that dies three times over the same message rightly takes that message for poison.
 */
const doneWhenRecovered = 8

/** Fits a planned kill to its portion: a small one is over soon, so the moment has to be met more closely. */
export function aimAt(kill: PlannedKill, openedBefore: number, portion: number): Aim {
  const atMost = (usual: number): number => Math.max(1, Math.min(usual, Math.floor(portion / 4)))
  return {
    victim: kill.victim,
    answeredMin: openedBefore + Math.floor(portion * kill.portionDone),
    inHandMin: atMost(inHandWhenBusy[kill.victim === 'order' ? 'order' : 'consumer']),
    doneMin: atMost(doneWhenRecovered),
    delayMs: Math.min(kill.delayMs, Math.floor(portion / 4)),
  }
}
