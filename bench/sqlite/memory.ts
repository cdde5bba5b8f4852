import { rmSync } from 'node:fs'
import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { type LargeLog, type MemoryUse, newLargeLog, sharedLargeLog } from './large-log.ts'
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
    how: `${rounds} rounds of ${messages} messages of 1 KiB, each published by one fresh process and drained by another in batches of ${batchSize}, with Node's own heap settings; the resident set sampled every 20 ms at most. From the start: above what it was before the database was opened, so with compiling and with the heap that V8 takes in its first second. From a tenth on: what the other nine tenths of the backlog add.`,
    figures: [
      {
        name: 'drain-start',
        label: 'resident before the drain',
        unit: 'MiB',
        values: drained.map((use) => use.startMiB),
      },
      ...growthOf('drain', 'draining', drained),
      ...growthOf('publish', 'publishing', published),
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

function growthOf(name: string, doing: string, uses: readonly MemoryUse[]): Figure[] {
  return [
    {
      name: `${name}-growth`,
      label: `growth while ${doing}, from the start`,
      unit: 'MiB',
      values: uses.map((use) => use.peakMiB - use.startMiB),
      goal: growthGoal,
    },
    {
      name: `${name}-growth-warm`,
      label: `growth while ${doing}, from a tenth on`,
      unit: 'MiB',
      values: uses.map((use) => use.peakMiB - use.warmMiB),
      goal: growthGoal,
    },
  ]
}
