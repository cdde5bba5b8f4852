import type { Run } from '../harness/bench.ts'

/** How much each measure does. Stated with the figures, because most of them depend on it. */
export interface Sizes {
  readonly drain: { readonly rounds: number; readonly messages: number }
  readonly receipts: { readonly rounds: number; readonly messages: number; readonly single: number }
  readonly endToEnd: { readonly rounds: number; readonly messages: number }
  readonly transaction: {
    readonly connections: readonly number[]
    readonly blocks: number
    readonly warmUp: number
    /** Transactions of a variant in a block, and how many each connection runs before it is another variant's turn. */
    readonly block: number
    readonly turn: number
  }
  readonly latency: {
    readonly rounds: number
    readonly messages: number
    readonly warmUp: number
    readonly perSecond: number
  }
  readonly wal: { readonly rounds: number; readonly messages: number }
  readonly history: {
    readonly rounds: number
    readonly messages: number
    readonly backlog: number
    readonly block: number
  }
  readonly mariadb: { readonly rounds: number; readonly messages: number }
}

/** Messages that are enqueued at once, by this many at the same time. */
export const bulkSize = 1000
export const bulkPublishers = 2

export function sizes({ quick, rounds, history }: Pick<Run, 'quick' | 'rounds' | 'history'>): Sizes {
  const of = quick ? small : full
  if (rounds === undefined && history === undefined) return of
  const asked = <T extends { readonly rounds: number }>(measure: T): T =>
    rounds === undefined ? measure : { ...measure, rounds }
  return {
    drain: asked(of.drain),
    receipts: asked(of.receipts),
    endToEnd: asked(of.endToEnd),
    transaction: rounds === undefined ? of.transaction : { ...of.transaction, blocks: rounds },
    latency: asked(of.latency),
    wal: asked(of.wal),
    history: asked(history === undefined ? of.history : withHistory(of.history, history)),
    mariadb: asked(of.mariadb),
  }
}

function withHistory(of: Sizes['history'], messages: number): Sizes['history'] {
  return { ...of, messages, backlog: Math.ceil(messages / 10) }
}

const full: Sizes = {
  // Long enough that connecting, some 0.2 s, does not count.
  drain: { rounds: 5, messages: 150_000 },
  receipts: { rounds: 5, messages: 150_000, single: 10_000 },
  endToEnd: { rounds: 5, messages: 150_000 },
  transaction: { connections: [1, 8, 32], blocks: 12, warmUp: 500, block: 1_920, turn: 20 },
  latency: { rounds: 3, messages: 1_050, warmUp: 50, perSecond: 50 },
  wal: { rounds: 5, messages: 20_000 },
  history: { rounds: 9, messages: 10_000_000, backlog: 1_000_000, block: 30_000 },
  mariadb: { rounds: 5, messages: 60_000 },
}

const small: Sizes = {
  drain: { rounds: 1, messages: 2_000 },
  receipts: { rounds: 1, messages: 2_000, single: 200 },
  endToEnd: { rounds: 1, messages: 2_000 },
  transaction: { connections: [1, 8, 32], blocks: 2, warmUp: 20, block: 64, turn: 2 },
  latency: { rounds: 1, messages: 30, warmUp: 5, perSecond: 50 },
  wal: { rounds: 1, messages: 2_000 },
  history: { rounds: 1, messages: 4_000, backlog: 2_000, block: 1_000 },
  mariadb: { rounds: 1, messages: 2_000 },
}
