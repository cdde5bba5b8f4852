import type { Run } from '../harness/bench.ts'

/** How much the delay bench does. Stated with the figures. */
export interface DelaySizes {
  readonly bodyBytes: number
  /** Messages in the full file that are due in a year. */
  readonly waiting: number
  readonly rounds: number
  /** Due messages moved in one block. */
  readonly block: number
}

export function delaySizes({ quick }: Pick<Run, 'quick'>): DelaySizes {
  return quick
    ? { bodyBytes: 1024, waiting: 2_000, rounds: 2, block: 200 }
    : { bodyBytes: 1024, waiting: 1_000_000, rounds: 9, block: 10_000 }
}
