import { rmSync } from 'node:fs'
import type { Findings, Measure, Run } from '../harness/bench.ts'
import { type LargeLog, newLargeLog, sharedLargeLog } from './large-log.ts'
import { batchSize, sizes } from './sizes.ts'

/** Whether memory grows with the backlog. */
export const memoryMeasure: Measure = {
  name: 'memory',
  title: 'Memory while a large backlog is published and drained',
  measure,
}

const growthGoal = { atMost: 64 }

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages } = sizes(run).memory
  const logs: LargeLog[] = []
  for (let round = 1; round < rounds; round++) {
    const log = await newLargeLog(run)
    rmSync(log.path)
    logs.push(log)
  }
  logs.push(await sharedLargeLog(run))
  const drained = logs.map((log) => log.drained)
  const published = logs.map((log) => log.published)
  return {
    how: `${rounds} rounds of ${messages} messages of 1 KiB, each published by one fresh process and drained by another in batches of ${batchSize}; the resident set sampled at most every 20 ms, above what it was before the database was opened.`,
    figures: [
      {
        name: 'drain-start',
        label: 'resident before the drain',
        unit: 'MiB',
        values: drained.map((use) => use.startMiB),
      },
      {
        name: 'drain-growth',
        label: 'growth while draining',
        unit: 'MiB',
        values: drained.map((use) => use.peakMiB - use.startMiB),
        goal: growthGoal,
      },
      {
        name: 'publish-growth',
        label: 'growth while publishing',
        unit: 'MiB',
        values: published.map((use) => use.peakMiB - use.startMiB),
        goal: growthGoal,
      },
      {
        name: 'drain-rate',
        label: 'drained',
        unit: 'msg/s',
        values: drained.map((use) => messages / use.seconds),
      },
      {
        name: 'publish-rate',
        label: 'published, 500 in a transaction',
        unit: 'msg/s',
        values: published.map((use) => messages / use.seconds),
      },
    ],
  }
}
