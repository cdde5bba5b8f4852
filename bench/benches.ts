import { delayBench } from './delay.ts'
import { halfBench } from './half.ts'
import type { Bench } from './harness/bench.ts'
import { peersBench } from './peers.ts'
import { sqliteBench } from './sqlite.ts'
import { traceBench } from './trace.ts'

/** Every bench that `npm run bench -- <name>` knows, in the order in which they run when no name is given. */
export const benches: readonly Bench[] = [sqliteBench, traceBench, halfBench, delayBench, peersBench]
