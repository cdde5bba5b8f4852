import type { Figure, Goal, Run } from '../harness/bench.ts'
import { nowMs, secondsSince } from '../harness/clock.ts'
import { Tally } from './orders.ts'
import type { OpenPeer, Peer, Use } from './peer.ts'
import { execute, inFreshDatabase } from './server.ts'
import { bulkPublishers, bulkSize } from './sizes.ts'

/** What each contestant reached, round by round. */
export type Results<T> = ReadonlyMap<Peer<never>, readonly T[]>

/** Lets all take turns, each in a fresh database; who comes first changes from round to round. */
export async function inTurns<T, P extends Peer<never>>(
  run: Run,
  what: string,
  peers: readonly P[],
  rounds: number,
  turn: (peer: P, url: string) => Promise<T>,
): Promise<Results<T>> {
  const results = new Map<Peer<never>, T[]>(peers.map((peer) => [peer, []]))
  run.progress.begin(what, rounds * peers.length)
  for (let round = 0; round < rounds; round++)
    for (let i = 0; i < peers.length; i++) {
      const peer = peers[(round + i) % peers.length]!
      results.get(peer)!.push(await inFreshDatabase(run, peer.service, (url) => turn(peer, url)))
      run.progress.step()
    }
  return results
}

/** Enqueues messages 0 to count in bulk, by two publishers at a time. */
export async function fill(peer: Pick<OpenPeer, 'enqueueMany'>, count: number): Promise<void> {
  let next = 0
  const publish = async (): Promise<void> => {
    while (next < count) {
      const from = next
      next = Math.min(count, from + bulkSize)
      await peer.enqueueMany(from, next - from)
    }
  }
  await Promise.all(Array.from({ length: bulkPublishers }, publish))
}

/** Enqueues, and only then starts to work it off. Answers messages per second, from then until the last is recorded as done. */
export async function drainPreloaded(
  peer: Peer<never>,
  url: string,
  use: Use,
  count: number,
): Promise<number> {
  const filling = await peer.open(url, use)
  await fill(filling, count)
  await filling.close()
  if (peer.service === 'postgres') await execute(url, 'analyze')
  return using(peer, url, use, (opened) => drain(opened, count))
}

export async function drain(opened: OpenPeer<never>, count: number): Promise<number> {
  const tally = new Tally(count)
  const startMs = nowMs()
  const workers = await opened.work(tally.see)
  await tally.all()
  await soon(workers.settled())
  const seconds = secondsSince(startMs)
  await expectNothingLeft(opened)
  await workers.stop()
  return count / seconds
}

/** Answers messages per second from the first enqueued to the last that is recorded as done. */
export async function endToEnd(peer: Peer, url: string, count: number): Promise<number> {
  return using(peer, url, 'endToEnd', async (opened) => {
    const tally = new Tally(count)
    const workers = await opened.work(tally.see)
    const startMs = nowMs()
    await fill(opened, count)
    await tally.all()
    await soon(workers.settled())
    const seconds = secondsSince(startMs)
    await expectNothingLeft(opened)
    await workers.stop()
    return count / seconds
  })
}

export async function using<T, Tx>(
  peer: Peer<Tx>,
  url: string,
  use: Use,
  work: (opened: OpenPeer<Tx>) => Promise<T>,
): Promise<T> {
  const opened = await peer.open(url, use)
  try {
    return await work(opened)
  } finally {
    await opened.close()
  }
}

const soonMs = 60_000

/** Waiting for ever would hide that a contestant never records what it has handled. */
async function soon(settled: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(
    () => late.reject(new Error('all messages were handled, and some are never recorded as done')),
    soonMs,
  )
  await Promise.race([settled, late.promise]).finally(() => clearTimeout(timer))
}

/** Waybill's cursor passes messages after their receipts are committed, if they were not handled in a batch. */
async function expectNothingLeft(opened: OpenPeer<never>): Promise<void> {
  const lookUntil = nowMs() + soonMs
  let left = await opened.unfinished()
  while (left > 0 && nowMs() < lookUntil) left = await opened.unfinished()
  if (left > 0) throw new Error(`${left} messages were handled and are not recorded as done`)
}

/** The rates, and Waybill's by the better peer's of the same round. */
export function rateFigures(
  rates: Results<number>,
  ours: Peer<never>,
  prefix: string,
  ratio: { readonly name: string; readonly label: string; readonly goal?: Goal; readonly json?: string },
): Figure[] {
  const others = [...rates].filter(([peer]) => peer !== ours).map(([, values]) => values)
  const ratios = rates
    .get(ours)!
    .map((rate, round) => rate / Math.max(...others.map((values) => values[round]!)))
  return [
    ...[...rates].map(([{ name, label }, values]): Figure => ({
      name: `${prefix}${name}`,
      label,
      unit: 'msg/s',
      values,
    })),
    {
      name: ratio.name,
      label: ratio.label,
      unit: 'ratio',
      values: ratios,
      ...(ratio.goal ? { goal: ratio.goal } : {}),
      ...(ratio.json ? { ratio: ratio.json } : {}),
    },
  ]
}
