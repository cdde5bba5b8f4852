import type { Findings, Measure, Run } from '../harness/bench.ts'
import { drainPreloaded, inTurns, rateFigures } from './contest.ts'
import { graphileWorker } from './graphile-worker.ts'
import { pgBoss } from './pg-boss.ts'
import { sizes } from './sizes.ts'
import { waybillRelay } from './waybill.ts'

/** How fast what was enqueued is worked off when nothing has to be done with it. */
export const drainMeasure: Measure = {
  name: 'drain',
  title:
    'Draining: the relay into a transport that does nothing, beside queues with a handler that does nothing',
  measure,
}

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages } = sizes(run).drain
  const rates = await inTurns(run, 'drain', [waybillRelay, pgBoss, graphileWorker], rounds, (peer, url) =>
    drainPreloaded(peer, url, 'drain', messages),
  )
  return {
    how: `${rounds} rounds, each contestant in a fresh database with ${messages} messages of 1 KiB, analysed. From the call that starts the workers until the last message is recorded as done; checked by id.`,
    figures: rateFigures(rates, waybillRelay, '', {
      name: 'ratio',
      label: 'relay ÷ better peer',
      goal: { atLeast: 3 },
      json: 'drain',
    }),
  }
}
