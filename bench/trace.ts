import type { Bench } from './harness/bench.ts'
import { sizes } from './sqlite/sizes.ts'
import { booksMeasure } from './trace/books.ts'
import { keyMeasure } from './trace/by-key.ts'

/** Finding one message, and balancing the books of all, in a file with a long history. */
export const traceBench: Bench = {
  name: 'trace',
  about: 'trace by key, and the ledger, with a million handled messages',
  measures: [keyMeasure, booksMeasure],
  settings: (run) => ({ library: 'node:sqlite', ...sizes(run).memory, ...sizes(run).trace }),
}
