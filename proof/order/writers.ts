import { setTimeout as wait } from 'node:timers/promises'
import type { Subject } from './subjects.ts'
import type { Tally } from './tally.ts'

const keys = 61
/** One transaction stays open for so long, with messages in it, while the others go on. */
const longHoldMs = 6_000
const longHoldNeedsMessages = 5_000

/** Of a key only one transaction at a time: the next one begins after the last one's commit was heard of, so P18 demands its order. */
class KeyTurns {
  readonly #tails = new Map<string, Promise<void>>()

  async take(key: string): Promise<() => void> {
    const before = this.#tails.get(key)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#tails.set(key, promise)
    await before
    return resolve
  }
}

export async function write(
  subject: Subject,
  tally: Tally,
  options: { readonly messages: number; readonly writers: number },
  random: () => number,
): Promise<void> {
  const turns = new KeyTurns()
  const counts = new Map<string, number>()
  const left = { messages: options.messages }
  const long =
    options.messages >= longHoldNeedsMessages && subject.holds ? hold(subject, tally, random) : undefined
  const writer = async (): Promise<void> => {
    while (left.messages > 0) {
      const size = Math.min(left.messages, 1 + Math.floor(random() * random() * 40))
      left.messages -= size
      const key = `key-${Math.floor(random() * keys)}`
      const done = await turns.take(key)
      try {
        const first = counts.get(key) ?? 0
        const drafts = Array.from({ length: size }, (_, i) => ({ key, n: first + i + 1 }))
        const ids = await subject.publish(drafts, random)
        if (ids === undefined) {
          left.messages += size
          continue
        }
        counts.set(key, first + size)
        const at = performance.now()
        ids.forEach((id, i) => tally.committed.set(id, { key, n: first + i + 1, at }))
      } finally {
        done()
      }
    }
  }
  await Promise.all(Array.from({ length: options.writers }, writer))
  await long
}

async function hold(subject: Subject, tally: Tally, random: () => number): Promise<void> {
  const drafts = [1, 2, 3].map((n) => ({ key: 'held', n }))
  const began = performance.now()
  const ids = await subject.publish(drafts, random, async () => {
    const from = performance.now() + longHoldMs / 3
    await wait(longHoldMs)
    const until = from + longHoldMs / 3
    for (const [id, { at }] of tally.committed)
      if (at >= from && at < until && tally.readTimes.has(id)) tally.isReadDuringHold = true
  })
  tally.holdMs = Math.round(performance.now() - began)
  const at = performance.now()
  ids!.forEach((id, i) => tally.committed.set(id, { key: 'held', n: i + 1, at }))
}
