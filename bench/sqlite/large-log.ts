import type { Run } from '../harness/bench.ts'
import { runChild } from '../harness/child.ts'
import { assertFreeDisk } from '../harness/free-disk.ts'
import { sizes } from './sizes.ts'

export interface MemoryTask {
  readonly path: string
  readonly work: 'publish' | 'drain'
  readonly messages: number
  readonly bodyBytes: number
  readonly group: string
}

export interface MemoryUse {
  /** Before the database was opened. */
  readonly startMiB: number
  /** After a tenth of the work: what comes on top is what the length of the backlog costs. */
  readonly warmMiB: number
  readonly peakMiB: number
  readonly samples: number
  readonly seconds: number
}

/** A log of many messages that a group has drained: all of it is history. */
export interface LargeLog {
  readonly path: string
  readonly group: string
  readonly published: MemoryUse
  readonly drained: MemoryUse
}

/** Memory that a message of 1 KiB takes up in the file, with its indexes and its receipt. */
const bytesPerMessage = 2_200

/** Publishes a backlog and drains it, each in a fresh process. */
export async function newLargeLog(run: Run): Promise<LargeLog> {
  const { bodyBytes, memory } = sizes(run)
  const path = run.scratch('large.db')
  const group = 'large'
  // The history measure adds as much again.
  assertFreeDisk(path, memory.messages * bytesPerMessage * 2)
  const task = { path, group, messages: memory.messages, bodyBytes }
  const child = (work: MemoryTask['work']): Promise<MemoryUse> =>
    runChild<MemoryTask, MemoryUse>(new URL('memory-child.ts', import.meta.url), { ...task, work })
  run.progress.begin(`large log: publishing ${memory.messages}`, 2)
  const published = await child('publish')
  run.progress.step()
  const drained = await child('drain')
  return { path, group, published, drained }
}

/** The one that the memory measure leaves behind for the history measure. */
export function sharedLargeLog(run: Run): Promise<LargeLog> {
  return run.shared('large-log', () => newLargeLog(run))
}
