import type { Findings, Measure, Run } from '../harness/bench.ts'
import { endToEnd, inTurns, rateFigures } from './contest.ts'
import { graphileWorker } from './graphile-worker.ts'
import { pgBoss } from './pg-boss.ts'
import { bulkPublishers, bulkSize, sizes } from './sizes.ts'
import { waybill } from './waybill.ts'

/** Publishing and handling at the same time. */
export const endToEndMeasure: Measure = {
  name: 'end-to-end',
  title: 'End to end: handled while it is published, with receipts',
  measure,
}

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages } = sizes(run).endToEnd
  const rates = await inTurns(run, 'end to end', [waybill, pgBoss, graphileWorker], rounds, (peer, url) =>
    endToEnd(peer, url, messages),
  )
  return {
    how: `${rounds} rounds, each contestant in a fresh database: ${messages} messages of 1 KiB by ${bulkPublishers} publishers, ${bulkSize} in a transaction, in the process that handles them. From the first publish until the last message is recorded as done; checked by id.`,
    figures: rateFigures(rates, waybill, '', {
      name: 'ratio',
      label: 'Waybill ÷ better peer',
      goal: { atLeast: 2 },
      json: 'endToEnd',
    }),
  }
}
