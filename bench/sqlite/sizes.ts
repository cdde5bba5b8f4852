import type { Run } from '../harness/bench.ts'

/** How much each measure does. Stated with the figures, because most of them depend on it. */
export interface Sizes {
  readonly bodyBytes: number
  readonly smallBodyBytes: number
  readonly transaction: {
    readonly rounds: number
    readonly warmUp: number
    readonly slices: number
    readonly slice: number
  }
  readonly drain: { readonly rounds: number; readonly batched: number; readonly single: number }
  readonly latency: {
    readonly rounds: number
    readonly messages: number
    readonly warmUp: number
    readonly perSecond: number
  }
  readonly memory: { readonly rounds: number; readonly messages: number }
  readonly trace: { readonly rounds: number; readonly traces: number }
  readonly history: { readonly rounds: number; readonly messages: number; readonly block: number }
}

/** Messages that the batch handler takes at once. */
export const batchSize = 100

export function sizes({ quick }: Pick<Run, 'quick'>): Sizes {
  return quick ? small : full
}

const full: Sizes = {
  bodyBytes: 1024,
  smallBodyBytes: 100,
  transaction: { rounds: 20, warmUp: 3_000, slices: 40, slice: 25 },
  drain: { rounds: 5, batched: 200_000, single: 10_000 },
  latency: { rounds: 3, messages: 600, warmUp: 50, perSecond: 50 },
  memory: { rounds: 2, messages: 1_000_000 },
  trace: { rounds: 5, traces: 200 },
  history: { rounds: 20, messages: 1_000_000, block: 25_000 },
}

const small: Sizes = {
  bodyBytes: 1024,
  smallBodyBytes: 100,
  transaction: { rounds: 3, warmUp: 50, slices: 2, slice: 10 },
  drain: { rounds: 1, batched: 2_000, single: 100 },
  latency: { rounds: 1, messages: 30, warmUp: 5, perSecond: 50 },
  memory: { rounds: 1, messages: 2_000 },
  trace: { rounds: 2, traces: 20 },
  history: { rounds: 2, messages: 2_000, block: 500 },
}
