import { trace } from 'waybill'
import type { Findings, Measure, Run } from '../harness/bench.ts'
import { nowMs } from '../harness/clock.ts'
import { quantile } from '../harness/statistics.ts'
import { sharedLargeLog } from '../sqlite/large-log.ts'
import { newWaybill } from '../sqlite/messages.ts'
import { sizes } from '../sqlite/sizes.ts'

/** How long it takes to say where a message is, in a file that holds a million others. */
export const keyMeasure: Measure = {
  name: 'key',
  title: 'Tracing by business key',
  measure,
}

const goalMs = 50

async function measure(run: Run): Promise<Findings> {
  const { rounds, traces } = sizes(run).trace
  const { messages } = sizes(run).memory
  const { path } = await sharedLargeLog(run)
  const waybill = newWaybill(path)
  const sources = { order: waybill }
  const p50: number[] = []
  const p99: number[] = []
  run.progress.begin('trace', rounds)
  for (let round = 0; round < rounds; round++) {
    const took: number[] = []
    for (let i = 0; i < traces; i++) {
      const key = `order-${Math.floor(run.random.next() * messages)}`
      const startMs = nowMs()
      const { verdicts } = await trace(sources, key)
      took.push(nowMs() - startMs)
      if (verdicts[0]?.code !== 'done') throw new Error(`${key} is ${verdicts[0]?.code}, and not done`)
    }
    p50.push(quantile(took, 0.5))
    p99.push(quantile(took, 0.99))
    run.progress.step()
  }
  await waybill.stop()
  return {
    how: `${rounds} rounds of ${traces} traces by random keys, in a file with ${messages} handled messages of 1 KiB and their receipts. From asking to the verdict, in one process.`,
    figures: [
      { name: 'p50', label: 'trace by key, p50', unit: 'ms', values: p50, goal: { atMost: goalMs } },
      { name: 'p99', label: 'trace by key, p99', unit: 'ms', values: p99, goal: { atMost: goalMs } },
    ],
  }
}
