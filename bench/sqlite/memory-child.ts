import { answerParent } from '../harness/child.ts'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { drain } from './consuming.ts'
import type { MemoryTask, MemoryUse } from './large-log.ts'
import { fill } from './messages.ts'
import { batchSize } from './sizes.ts'

/** Between two samples, in ms. Taken between transactions: a timer would be late whenever the process is busy. */
const everyMs = 20

await answerParent(async (task: MemoryTask): Promise<MemoryUse> => {
  const startMiB = rssMiB()
  const startedMs = nowMs()
  let sampledMs = 0
  let warmMiB: number | undefined
  let peakMiB = startMiB
  let samples = 0
  const committed = (done: number): void => {
    if (nowMs() - sampledMs < everyMs && done < task.messages) return
    sampledMs = nowMs()
    const nowMiB = rssMiB()
    if (done >= task.messages / 10) warmMiB ??= nowMiB
    peakMiB = Math.max(peakMiB, nowMiB)
    samples++
  }
  const { path, group, messages, bodyBytes } = task
  if (task.work === 'publish') await fill(path, messages, bodyBytes, committed)
  else await drain(path, { group, messages, batch: batchSize, committed })
  const seconds = secondsSince(startedMs)
  return { startMiB, warmMiB: warmMiB!, peakMiB, samples, seconds }
})

function rssMiB(): number {
  return process.memoryUsage.rss() / 2 ** 20
}
