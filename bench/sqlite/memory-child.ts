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
  let peakMiB = startMiB
  let samples = 0
  const sample = (): void => {
    if (nowMs() - sampledMs < everyMs) return
    sampledMs = nowMs()
    peakMiB = Math.max(peakMiB, rssMiB())
    samples++
  }
  if (task.work === 'publish') await fill(task.path, task.messages, task.bodyBytes, sample)
  else {
    const { group, messages } = task
    await drain(task.path, { group, messages, batch: batchSize, committed: sample })
  }
  const seconds = secondsSince(startedMs)
  sampledMs = 0
  sample()
  return { startMiB, peakMiB, samples, seconds }
})

function rssMiB(): number {
  return process.memoryUsage.rss() / 2 ** 20
}
