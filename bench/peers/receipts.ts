import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { type Results, drainPreloaded, inTurns, rateFigures } from './contest.ts'
import { graphileWorker } from './graphile-worker.ts'
import { type Peer, perMessageConcurrency } from './peer.ts'
import { pgBoss } from './pg-boss.ts'
import { sizes } from './sizes.ts'
import { waybill, waybillReading } from './waybill.ts'

/** How fast a group handles what was enqueued, with receipts. */
export const receiptsMeasure: Measure = {
  name: 'receipts',
  title: 'Draining with receipts: a handler that does nothing, in batches and one by one',
  measure,
}

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages, single } = sizes(run).receipts
  const batched = await inTurns(
    run,
    'receipts: batches',
    [waybill, waybillReading, pgBoss, graphileWorker],
    rounds,
    (peer, url) => drainPreloaded(peer, url, 'drain', messages),
  )
  const one = await inTurns(run, 'receipts: one by one', [waybill, pgBoss], rounds, (peer, url) =>
    drainPreloaded(peer, url, 'perMessage', single),
  )
  return {
    how: `As drain: ${rounds} rounds of ${messages} messages, Waybill's handler taking 100 in one transaction with their receipts. It tells each message by its key, so that no body is parsed; once more by an id in the body, which parses each. A peer parses every payload before the handler is called. Then of ${single} with one transaction for each message, ${perMessageConcurrency} at a time, beside pg-boss work({ transactional: true, batchSize: 1, localConcurrency: ${perMessageConcurrency} }), which has no time-out to set in each transaction. Checked by id.`,
    figures: [
      ...rateFigures(without(batched, waybillReading), waybill, '', {
        name: 'ratio',
        label: 'Waybill ÷ better peer',
        goal: { atLeast: 2 },
        json: 'drainWithReceipts',
      }),
      ...rateFigures(without(batched, waybill), waybillReading, '', {
        name: 'reading-ratio',
        label: 'with bodies read: Waybill ÷ better peer',
        json: 'drainWithReceiptsBodiesRead',
      }).filter(({ name }) => name === waybillReading.name || name === 'reading-ratio'),
      ...rateFigures(one, waybill, 'per-message-', {
        name: 'per-message-ratio',
        label: 'one by one: Waybill ÷ pg-boss transactional',
        goal: { atLeast: 1 },
        json: 'perMessage',
      }).map(oneByOne),
    ],
  }
}

function without(results: Results<number>, left: Peer): Results<number> {
  return new Map([...results].filter(([peer]) => peer !== left))
}

function oneByOne(figure: Figure): Figure {
  return figure.unit === 'ratio' ? figure : { ...figure, label: `one by one: ${figure.label}` }
}
