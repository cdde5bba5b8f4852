import type { Run } from '../harness/bench.ts'

/** How much the half bench does. Stated with the figures. */
export interface HalfSizes {
  readonly bodyBytes: number
  /** Undecided half messages in the full file. */
  readonly waiting: number
  readonly rounds: number
  /** Half messages decided in one block. */
  readonly block: number
}

export function halfSizes({ quick }: Pick<Run, 'quick'>): HalfSizes {
  return quick
    ? { bodyBytes: 1024, waiting: 2_000, rounds: 2, block: 20 }
    : { bodyBytes: 1024, waiting: 1_000_000, rounds: 15, block: 400 }
}
