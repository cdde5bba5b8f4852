import { setTimeout as sleep } from 'node:timers/promises'
import type { Findings, Measure, Run } from '../harness/bench.ts'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { compare, figuresOf } from '../harness/waiting.ts'
import { newWaybill, userHandle } from '../sqlite/messages.ts'
import { type Delayed, keyOf, publishDelayed, waitingMessages } from './delayed-messages.ts'
import { delaySizes } from './sizes.ts'

/** How many due messages are moved into the log a second, and whether those that are not due slow it down. */
export const dueMeasure: Measure = {
  name: 'due',
  title: 'Due messages moved into the log, keys in the order of their publishing',
  measure: (run) =>
    measure(run, 'whose keys follow those of all others', (number) =>
      keyOf(delaySizes(run).waiting + number),
    ),
}

/** The same where what is due together is scattered over the index by key. */
export const scatteredMeasure: Measure = {
  name: 'scattered',
  title: 'Due messages moved into the log, keys at random',
  measure: (run) =>
    measure(run, 'whose keys lie anywhere among those of all others', () =>
      keyOf(Math.floor(run.random.next() * delaySizes(run).waiting)),
    ),
}

/** Longer than a transaction of the publisher takes: what is due before it is published goes to the log at once. */
const delayMs = 1_000

async function measure(run: Run, keys: string, key: Delayed['key']): Promise<Findings> {
  const { rounds, block, bodyBytes, waiting } = delaySizes(run)
  const paths = await waitingMessages(run)
  const rates = await compare(run, 'due messages', paths, rounds, {
    async before() {
      for (const path of Object.values(paths))
        await publishDelayed(path, { messages: block, bodyBytes, delay: `${delayMs}ms`, key })
      await sleep(delayMs)
    },
    blocks: 1,
    size: block,
    block: (path) => moveDue(path, block),
  })
  return {
    how: `${rounds} rounds in random order of ${block} messages of 1 KiB that are due, ${keys}: from start() of an instance until the last is in the log, nobody consuming. On a file with ${waiting} more of the same topic that are due in a year, and on two without.`,
    figures: figuresOf(rates, 'msg/s'),
  }
}

async function moveDue(path: string, count: number): Promise<number> {
  const database = userHandle(path)
  const last = database.prepare('select coalesce(max(pos), 0) as pos from waybill_messages')
  const inLog = (): number => Number(last.get()!['pos'])
  const waybill = newWaybill(path)
  const end = inLog() + count
  const startMs = nowMs()
  await waybill.start()
  while (inLog() < end) await sleep(1)
  const seconds = secondsSince(startMs)
  await waybill.stop()
  database.close()
  return seconds
}
