import { rmSync } from 'node:fs'
import type { Findings, Measure, Run } from '../harness/bench.ts'
import { drain } from './consuming.ts'
import { sharedLargeLog } from './large-log.ts'
import { fill } from './messages.ts'
import { batchSize, sizes } from './sizes.ts'

/** Whether a long history and a long backlog slow the drain down. */
export const historyMeasure: Measure = {
  name: 'history',
  title: 'Draining with a long history and a long backlog',
  measure,
}

type Variant = 'full' | 'empty'

async function measure(run: Run): Promise<Findings> {
  const { bodyBytes, history } = sizes(run)
  const { rounds, messages, block } = history
  const { path: large, group } = await sharedLargeLog(run)
  run.progress.begin(`history: publishing a backlog of ${messages}`, messages / 500)
  await fill(large, messages, bodyBytes, () => run.progress.step())
  const perSecond: Record<Variant, number[]> = { full: [], empty: [] }
  run.progress.begin('history', rounds * 2)
  // The first round warms up and does not count.
  for (let round = 0; round <= rounds; round++) {
    const empty = run.scratch('empty.db')
    // Both get what they lose in this round, so that the backlog stays as long as it is.
    await fill(empty, block, bodyBytes)
    await fill(large, block, bodyBytes)
    for (const variant of run.random.shuffled<Variant>(['full', 'empty'])) {
      const path = variant === 'full' ? large : empty
      const rate = await drain(path, { group, messages: block, batch: batchSize })
      if (round > 0) perSecond[variant].push(rate)
      if (round > 0) run.progress.step()
    }
    rmSync(empty)
  }
  const { full, empty } = perSecond
  return {
    how: `${rounds} rounds of two blocks in random order: the next ${block} messages of a log with ${messages} handled messages and their receipts behind it and ${messages} waiting ahead, and all ${block} of a log that holds nothing else. Batches of ${batchSize}, messages of 1 KiB. The ratio is taken within a round.`,
    figures: [
      { name: 'full', label: 'with history and backlog', unit: 'msg/s', values: full },
      { name: 'empty', label: 'with none', unit: 'msg/s', values: empty },
      {
        name: 'ratio',
        label: 'with ÷ without',
        unit: 'ratio',
        values: full.map((rate, round) => rate / empty[round]!),
        goal: { atLeast: 0.9 },
      },
    ],
  }
}
