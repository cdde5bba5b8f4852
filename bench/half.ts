import { checkBackMeasure } from './half/check-back.ts'
import { producerMeasure } from './half/producer.ts'
import { halfSizes } from './half/sizes.ts'
import type { Bench } from './harness/bench.ts'

/** Deciding half messages, while a million others wait for a decision. */
export const halfBench: Bench = {
  name: 'half',
  about: 'half messages decided by their producer and by check-back, with a million undecided',
  measures: [producerMeasure, checkBackMeasure],
  settings: (run) => ({ library: 'node:sqlite', journalMode: 'wal', synchronous: 'full', ...halfSizes(run) }),
}
