import type { Bench } from './harness/bench.ts'
import { drainMeasure } from './sqlite/drain.ts'
import { historyMeasure } from './sqlite/history.ts'
import { latencyMeasure } from './sqlite/latency.ts'
import { memoryMeasure } from './sqlite/memory.ts'
import { sizes } from './sqlite/sizes.ts'
import { transactionMeasure } from './sqlite/transaction.ts'

/** The embedded default: everything in one SQLite file through `node:sqlite`, no broker. */
export const sqliteBench: Bench = {
  name: 'sqlite',
  about: 'publish, drain, latency, memory and history on one SQLite file',
  measures: [transactionMeasure, drainMeasure, latencyMeasure, memoryMeasure, historyMeasure],
  settings: (run) => ({
    library: 'node:sqlite',
    journalMode: 'wal',
    synchronous: 'full',
    queues: 4,
    ...sizes(run),
  }),
}
