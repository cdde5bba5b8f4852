/**
 * The books of one run. Every committed order must have taken effect exactly once in every group; whatever else
 * happened to a pair (order, group) has a name here. Pure: the witness brings the facts, this module only counts.
 */

export const classes = ['once', 'lost', 'duplicate', 'phantom', 'stuck', 'dead'] as const
export type Class = (typeof classes)[number]
export type Tally = Readonly<Record<Class, number>>

export interface Effect {
  readonly orderId: string
  readonly group: string
}

/** What the witness saw at the end. `pending` and `dead` are sets of order ids per group. */
export interface History {
  readonly groups: readonly string[]
  readonly committed: ReadonlySet<string>
  readonly effects: readonly Effect[]
  readonly pending: ReadonlyMap<string, ReadonlySet<string>>
  readonly dead: ReadonlyMap<string, ReadonlySet<string>>
}

export interface Offender {
  readonly group: string
  readonly orderId: string
  readonly class: Class
}

export interface Ledger {
  readonly total: Tally
  readonly perGroup: ReadonlyMap<string, Tally>
  /** Every pair that is not *once*, so that a figure can be followed to an order. */
  readonly offenders: readonly Offender[]
}

export function balance(history: History): Ledger {
  const offenders: Offender[] = []
  const perGroup = new Map<string, Tally>()
  const effectsPerGroup = countEffects(history)
  for (const group of history.groups) {
    const tally = emptyTally()
    for (const [orderId, found] of classifyGroup(history, group, effectsPerGroup.get(group) ?? new Map())) {
      tally[found] += 1
      if (found !== 'once') offenders.push({ group, orderId, class: found })
    }
    perGroup.set(group, tally)
  }
  return { total: sum([...perGroup.values()]), perGroup, offenders }
}

function classifyGroup(
  history: History,
  group: string,
  effects: ReadonlyMap<string, number>,
): Map<string, Class> {
  const pending = history.pending.get(group) ?? new Set()
  const dead = history.dead.get(group) ?? new Set()
  const classOf = new Map<string, Class>()
  for (const orderId of history.committed) {
    const count = effects.get(orderId) ?? 0
    classOf.set(orderId, classOfCommitted(count, dead.has(orderId), pending.has(orderId)))
  }
  for (const orderId of effects.keys()) {
    if (!history.committed.has(orderId)) classOf.set(orderId, 'phantom')
  }
  // A dead letter of an order that does not exist is nobody's effect, yet it must not go unseen.
  for (const orderId of dead) {
    if (!classOf.has(orderId)) classOf.set(orderId, 'dead')
  }
  return classOf
}

/** Doubt is settled against the run: a pair with an effect *and* a dead letter is dead, not once. */
function classOfCommitted(effects: number, isDead: boolean, isPending: boolean): Class {
  if (effects >= 2) return 'duplicate'
  if (isDead) return 'dead'
  if (effects === 1) return 'once'
  return isPending ? 'stuck' : 'lost'
}

function countEffects(history: History): Map<string, Map<string, number>> {
  const counts = new Map<string, Map<string, number>>()
  for (const { group, orderId } of history.effects) {
    if (!history.groups.includes(group)) throw new Error(`an effect belongs to the unknown group "${group}"`)
    const ofGroup = counts.get(group) ?? new Map<string, number>()
    ofGroup.set(orderId, (ofGroup.get(orderId) ?? 0) + 1)
    counts.set(group, ofGroup)
  }
  return counts
}

function emptyTally(): Record<Class, number> {
  return { once: 0, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 }
}

function sum(tallies: readonly Tally[]): Tally {
  const total = emptyTally()
  for (const tally of tallies) {
    for (const name of classes) total[name] += tally[name]
  }
  return total
}
