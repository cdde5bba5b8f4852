import { ledger } from 'waybill'
import type { Findings, Measure, Run } from '../harness/bench.ts'
import { nowMs } from '../harness/clock.ts'
import { sharedLargeLog } from '../sqlite/large-log.ts'
import { newWaybill } from '../sqlite/messages.ts'
import { sizes } from '../sqlite/sizes.ts'

/** How long it takes to balance the books of a group over a long history, and for how long it keeps the process from other work. */
export const booksMeasure: Measure = {
  name: 'books',
  title: 'Balancing the books',
  measure,
}

async function measure(run: Run): Promise<Findings> {
  const { rounds } = sizes(run).trace
  const { messages } = sizes(run).memory
  const { path } = await sharedLargeLog(run)
  const waybill = newWaybill(path)
  const sources = { order: waybill }
  const whole: number[] = []
  const longest: number[] = []
  run.progress.begin('books', rounds)
  for (let round = 0; round < rounds; round++) {
    const startMs = nowMs()
    let turnMs = startMs
    let portionMs = 0
    const breathe = async (): Promise<void> => {
      portionMs = Math.max(portionMs, nowMs() - turnMs)
      await new Promise((turn) => setImmediate(turn))
      turnMs = nowMs()
    }
    const { balanced } = await ledger(sources, { breathe })
    if (!balanced) throw new Error('the books do not balance')
    whole.push(nowMs() - startMs)
    longest.push(portionMs)
    run.progress.step()
  }
  await waybill.stop()
  return {
    how: `${rounds} ledgers of one group over at least ${messages} handled messages of 1 KiB, in portions; and the longest portion, in which a process does nothing else.`,
    figures: [
      { name: 'ledger', label: 'ledger', unit: 'ms', values: whole, goal: { atMost: 10_000 } },
      { name: 'portion', label: 'longest portion', unit: 'ms', values: longest },
    ],
  }
}
