import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { runChild } from '../harness/child.ts'
import { nowMs } from '../harness/clock.ts'
import { quantile } from '../harness/statistics.ts'
import { newWaybill, orderPaid, type SqliteWaybill, userHandle } from './messages.ts'
import { ownHandle, type Pace, publishSteadily } from './steady-publisher.ts'
import { sizes } from './sizes.ts'

/** How long after the commit the handler begins. */
export const latencyMeasure: Measure = {
  name: 'latency',
  title: 'From the commit to the handler',
  measure,
}

interface Variant {
  readonly name: string
  readonly label: string
  readonly goalMs: number
  /** Publishes at the given pace; answers when each was committed, on the machine's monotonic clock. */
  publish(path: string, waybill: SqliteWaybill, pace: Pace): Promise<readonly number[]>
}

const variants: readonly Variant[] = [
  {
    name: 'one-process',
    label: 'one process, waybill.transaction',
    goalMs: 5,
    publish: (_path, waybill, pace) =>
      publishSteadily(pace, (message) =>
        waybill.transaction((tx) => void waybill.publish(tx, orderPaid, message)),
      ),
  },
  {
    name: 'own-handle',
    label: "one process, the user's own handle",
    goalMs: 5,
    async publish(path, waybill, pace) {
      const database = userHandle(path)
      const committed = await publishSteadily(pace, ownHandle(waybill, database))
      database.close()
      return committed
    },
  },
  {
    name: 'two-processes',
    label: 'two processes',
    goalMs: 30,
    publish: (path, _waybill, pace) => runChild(new URL('latency-child.ts', import.meta.url), { path, pace }),
  },
]

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages, warmUp, perSecond } = sizes(run).latency
  const latencies = new Map<Variant, number[][]>(variants.map((variant) => [variant, []]))
  run.progress.begin('latency', rounds * variants.length)
  for (let round = 0; round < rounds; round++) {
    for (const variant of run.random.shuffled(variants)) {
      const seed = Math.floor(run.random.next() * 2 ** 32)
      const pace: Pace = { messages, perSecond, seed, bodyBytes: sizes(run).bodyBytes }
      latencies.get(variant)!.push((await oneRound(run, variant, pace)).slice(warmUp))
      run.progress.step()
    }
  }
  return {
    how: `${rounds} rounds in random order of ${messages} messages at ${perSecond} a second at random intervals, the first ${warmUp} left out. From the return of COMMIT to the first line of the handler, on one monotonic clock. Each p99 rests on ${Math.ceil((messages - warmUp) / 100)} messages.`,
    figures: variants.flatMap((variant) => figuresOf(variant, latencies.get(variant)!)),
  }
}

function figuresOf({ name, label, goalMs }: Variant, rounds: readonly (readonly number[])[]): Figure[] {
  const at = (share: number): number[] => rounds.map((latencies) => quantile(latencies, share))
  return [
    { name: `${name}-p50`, label: `${label}, p50`, unit: 'ms', values: at(0.5), goal: { atMost: goalMs } },
    { name: `${name}-p99`, label: `${label}, p99`, unit: 'ms', values: at(0.99) },
  ]
}

async function oneRound(run: Run, variant: Variant, pace: Pace): Promise<number[]> {
  const path = run.scratch('latency.db')
  const waybill = newWaybill(path)
  const begun: number[] = []
  const finished = Promise.withResolvers<void>()
  let count = 0
  waybill.consume(orderPaid, { group: 'latency' }, (message) => {
    begun[Number(message.key)] = nowMs()
    if (++count === pace.messages) finished.resolve()
  })
  await waybill.start()
  const committed = await variant.publish(path, waybill, pace)
  await finished.promise
  await waybill.stop()
  return committed.map((atMs, number) => begun[number]! - atMs)
}
