import { dueMeasure, scatteredMeasure } from './delay/due.ts'
import { delaySizes } from './delay/sizes.ts'
import type { Bench } from './harness/bench.ts'

/** Moving due messages into the log, while a million others are not due. */
export const delayBench: Bench = {
  name: 'delay',
  about: 'due messages moved into the log, with a million that are not due',
  measures: [dueMeasure, scatteredMeasure],
  settings: (run) => ({
    library: 'node:sqlite',
    journalMode: 'wal',
    synchronous: 'full',
    ...delaySizes(run),
  }),
}
