/** Who was published when, and read when: what the proof is judged by. */
export interface Tally {
  /** By message: its key, its number within the key, when it was committed, and whether its transaction was held open. */
  readonly committed: Map<string, { readonly key: string; readonly n: number; readonly at: number }>
  readonly readTimes: Map<string, number>
  /** Of each key, the numbers in the order of reading. */
  readonly order: Map<string, number[]>
  readonly waits: number[]
  seen: number
  /** How often the reader has looked into a queue. */
  looks: number
  readers: number
  holdMs: number
  /** Whether what was committed in the middle of the hold was read before its end. */
  isReadDuringHold: boolean
  /** Resolves once the reader has looked for the first time. */
  readonly hasLooked: Promise<void>
  readonly looked: () => void
}

export interface ProofResult {
  readonly published: number
  readonly skipped: number
  readonly twice: number
  readonly misordered: number
  readonly longestWaitMs: number
  /** How long one transaction was held open meanwhile. */
  readonly holdMs: number
  readonly isStalled: boolean
  readonly readers: number
  readonly perSecond: number
}

export function newTally(): Tally {
  const { promise, resolve } = Promise.withResolvers<void>()
  const tally: Tally = {
    committed: new Map(),
    readTimes: new Map(),
    order: new Map(),
    waits: [],
    seen: 0,
    looks: 0,
    readers: 0,
    holdMs: 0,
    isReadDuringHold: false,
    hasLooked: promise,
    looked: () => {
      tally.looks++
      resolve()
    },
  }
  return tally
}

export function read(tally: Tally, id: string, key: string, n: number): void {
  tally.seen++
  tally.readTimes.set(id, (tally.readTimes.get(id) ?? 0) + 1)
  const numbers = tally.order.get(key)
  if (numbers) numbers.push(n)
  else tally.order.set(key, [n])
  const committed = tally.committed.get(id)
  // Read before its publisher heard that it is committed: no wait at all.
  if (committed) tally.waits.push(performance.now() - committed.at)
}

export function result(tally: Tally, tookMs: number): ProofResult {
  let skipped = 0
  for (const id of tally.committed.keys()) if (!tally.readTimes.has(id)) skipped++
  let twice = 0
  for (const times of tally.readTimes.values()) if (times > 1) twice++
  let misordered = 0
  for (const numbers of tally.order.values())
    for (let i = 1; i < numbers.length; i++) if (numbers[i]! < numbers[i - 1]!) misordered++
  const longestWaitMs = Math.round(tally.waits.reduce((longest, wait) => Math.max(longest, wait), 0))
  return {
    published: tally.committed.size,
    skipped,
    twice,
    misordered,
    longestWaitMs,
    holdMs: tally.holdMs,
    isStalled: tally.holdMs > 0 && !tally.isReadDuringHold,
    readers: tally.readers,
    perSecond: Math.round((tally.committed.size * 1_000) / tookMs),
  }
}
