import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { fill, using } from './contest.ts'
import { newLongLog } from './long-log.ts'
import type { Peer } from './peer.ts'
import { execute, inFreshDatabase } from './server.ts'
import { sizes } from './sizes.ts'
import { waybill, waybillRelay } from './waybill.ts'

/** Whether a long history and a long backlog slow Waybill's drain down. */
export const historyMeasure: Measure = {
  name: 'history',
  title: 'Draining with a long history and a long backlog',
  measure,
}

const readers = [waybillRelay, waybill] as const

/** What waits for a reader, by what was published and handled: what was lost is not credited. */
interface Backlog {
  waiting: number
}

type Variant = 'long' | 'empty'
type Rates = ReadonlyMap<Peer, Readonly<Record<Variant, number[]>>>

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages, backlog, block } = sizes(run).history
  const long = await newLongLog(run, messages, backlog)
  run.progress.begin(`history: publishing a backlog of ${backlog}`, 1)
  await publish(long, backlog)
  run.progress.step()
  const rates: Rates = new Map(readers.map((reader) => [reader, { long: [], empty: [] }]))
  const ahead = new Map(readers.map((reader) => [reader, { waiting: backlog }]))
  run.progress.begin('history', rounds)
  // The first round warms up and does not count.
  for (let round = 0; round <= rounds; round++) {
    await inFreshDatabase(run, 'postgres', async (empty) => {
      // Both get what they lose in this round, so that the backlog stays as long as it is.
      for (const url of [empty, long]) await publish(url, block)
      await execute(empty, 'analyze')
      for (const one of ahead.values()) one.waiting += block
      for (const reader of readers)
        for (const variant of run.random.shuffled<Variant>(['long', 'empty'])) {
          const [url, backlogOf] =
            variant === 'long' ? [long, ahead.get(reader)!] : [empty, { waiting: block }]
          const rate = await drainBlock(reader, url, block, backlogOf)
          if (round > 0) rates.get(reader)![variant].push(rate)
        }
    })
    if (round > 0) run.progress.step()
  }
  return {
    how: `${rounds} rounds, in random order: the next ${block} messages of a log with ${messages} relayed and handled messages behind it and ${backlog} waiting ahead, and all ${block} of a log that holds nothing else; first by the relay, then by a group with receipts in batches of 100. The history was published, relayed and handled by Waybill itself, with bodies of some 70 B, then vacuumed and analysed; backlog and blocks have 1 KiB. From start() until the last of the block is handled. The ratio is taken within a round.`,
    figures: [...rates].flatMap(([{ name, label }, { long: some, empty }]) =>
      figuresOf(name, label, some, empty),
    ),
  }
}

async function publish(url: string, messages: number): Promise<void> {
  await using(waybill, url, 'enqueue', (opened) => fill(opened, messages))
}

/** Answers messages per second. More than the block may wait, and is left to the next round but for what is at hand. */
async function drainBlock(reader: Peer, url: string, block: number, backlog: Backlog): Promise<number> {
  const rate = await using(reader, url, 'drain', async (opened) => {
    const finished = Promise.withResolvers<number>()
    let handled = 0
    const startMs = nowMs()
    const workers = await opened.work(() => {
      if (++handled === block) finished.resolve(block / secondsSince(startMs))
    })
    const perSecond = await finished.promise
    await workers.stop()
    backlog.waiting -= handled
    return perSecond
  })
  const left = await using(reader, url, 'drain', (opened) => opened.unfinished())
  if (left < backlog.waiting)
    throw new Error(`${backlog.waiting} messages should wait, and ${left} do: some were not handled`)
  return rate
}

function figuresOf(name: string, label: string, long: readonly number[], empty: readonly number[]): Figure[] {
  return [
    { name: `${name}-long`, label: `${label}: with history and backlog`, unit: 'msg/s', values: long },
    { name: `${name}-empty`, label: `${label}: with none`, unit: 'msg/s', values: empty },
    {
      name: `${name}-ratio`,
      label: `${label}: with ÷ without`,
      unit: 'ratio',
      values: long.map((rate, round) => rate / empty[round]!),
      goal: { atLeast: 0.9 },
    },
  ]
}
