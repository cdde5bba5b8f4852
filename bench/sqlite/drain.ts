import { copyFileSync, openSync, closeSync, fsyncSync, rmSync } from 'node:fs'
import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { drain } from './consuming.ts'
import { fill } from './messages.ts'
import { batchSize, sizes } from './sizes.ts'

/** How fast a consumer group works off a log, with receipts, when its handler does nothing. */
export const drainMeasure: Measure = {
  name: 'drain',
  title: 'Draining the log: a handler that does nothing, with receipts',
  measure,
}

interface Variant {
  readonly name: string
  readonly label: string
  readonly batch?: number
  readonly bodyBytes: number
  readonly messages: number
  readonly goal?: Figure['goal']
}

async function measure(run: Run): Promise<Findings> {
  const { rounds, batched, single } = sizes(run).drain
  const variants = variantsOf(run)
  const filled = new Map<Variant, string>()
  for (const variant of variants) {
    const path = run.scratch('log.db')
    run.progress.begin(`filling: ${variant.messages} of ${variant.bodyBytes} B`, variant.messages / 500)
    await fill(path, variant.messages, variant.bodyBytes, () => run.progress.step())
    filled.set(variant, path)
  }
  const perSecond = new Map<Variant, number[]>(variants.map((variant) => [variant, []]))
  run.progress.begin('drain', rounds * variants.length)
  for (let round = 0; round < rounds; round++) {
    for (const variant of run.random.shuffled(variants)) {
      const path = copyOf(filled.get(variant)!, run.scratch('drained.db'))
      const { batch, messages } = variant
      const options = { group: 'drain', messages, ...(batch === undefined ? {} : { batch }) }
      perSecond.get(variant)!.push(await drain(path, options))
      rmSync(path)
      run.progress.step()
    }
  }
  return {
    how: `${rounds} rounds in random order, each on a fresh copy of a log: ${batched} messages in batches of ${batchSize}, and ${single} with one transaction for each message. From start() until the last receipt is committed, in the process that published them.`,
    figures: variants.map(({ name, label, goal }, i) => ({
      name,
      label,
      unit: 'msg/s' as const,
      values: perSecond.get(variants[i]!)!,
      ...(goal ? { goal } : {}),
    })),
  }
}

function variantsOf(run: Run): readonly Variant[] {
  const { bodyBytes, smallBodyBytes, drain: counts } = sizes(run)
  const batched = { batch: batchSize, messages: counts.batched, goal: { atLeast: 40_000 } }
  const single = { messages: counts.single }
  return [
    { ...batched, name: 'batch-1kib', label: `batches of ${batchSize}, 1 KiB`, bodyBytes },
    { ...batched, name: 'batch-100b', label: `batches of ${batchSize}, 100 B`, bodyBytes: smallBodyBytes },
    { ...single, name: 'single-1kib', label: 'one transaction each, 1 KiB', bodyBytes },
    { ...single, name: 'single-100b', label: 'one transaction each, 100 B', bodyBytes: smallBodyBytes },
  ]
}

/** Synced before it is used, or the system would write the copy back while the drain is timed. */
function copyOf(path: string, copy: string): string {
  copyFileSync(path, copy)
  const descriptor = openSync(copy, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
  return copy
}
