/** Seeded chance: the same seed gives the same orders, the same victims and the same slow calls. */

export interface Random {
  /** A number in [0, 1). */
  next(): number
  /** A whole number in [min, max]. */
  between(min: number, max: number): number
  /** The same items in another order; the argument is left as it is. */
  shuffle<T>(items: readonly T[]): T[]
}

/** mulberry32: 32 bits of state are plenty for a demonstration, and it fits on one screen. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1))
  const shuffle = <T>(items: readonly T[]): T[] => {
    const keyed = items.map((item) => ({ item, rank: next() }))
    return keyed.toSorted((a, b) => a.rank - b.rank).map(({ item }) => item)
  }
  return { next, between, shuffle }
}

/**
 * A number in [0, 1) that depends on the parts and on nothing else. Processes that are killed and restarted draw from
 * this one: a stream of random numbers would start again with every incarnation.
 */
export function chanceOf(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(parts.join('\u0000'))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  }
  return seededRandom(hash).next()
}
