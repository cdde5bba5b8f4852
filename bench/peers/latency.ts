import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { runChild } from '../harness/child.ts'
import { nowMs } from '../harness/clock.ts'
import { whyInconclusive } from '../harness/control.ts'
import { quantile } from '../harness/statistics.ts'
import { type Results, inTurns, using } from './contest.ts'
import { contestants } from './contestants.ts'
import { Tally } from './orders.ts'
import type { OpenPeer, Peer } from './peer.ts'
import { sizes } from './sizes.ts'
import { type Pace, type Publishing, publishSteadily } from './steady-publisher.ts'
import { newPool, waybill } from './waybill.ts'

/** How long after the commit the handler begins. */
export const latencyMeasure: Measure = {
  name: 'latency',
  title: 'From the commit to the handler',
  measure,
}

/** The same once more, for the control. */
const again: Peer = { ...waybill, name: 'waybill-again', label: 'Waybill again' }

/** The same with a transaction open elsewhere in the database for all of the time. */
const besideLong: Peer = { ...waybill, name: 'waybill-long', label: 'Waybill, long transaction' }

const peers = contestants.filter((peer) => peer !== waybill)

/** Where handler and publisher race for the answer to the COMMIT, ratios of what is next to nothing say nothing. */
const leastMs = 0.05

interface Arrangement {
  readonly name: string
  readonly label: string
  /** Whether its ratios are among those of the JSON. */
  readonly json: boolean
  publish(url: string, peer: Peer, opened: OpenPeer, pace: Pace): Promise<readonly number[]>
}

const arrangements: readonly Arrangement[] = [
  {
    name: 'one-process',
    label: 'one process',
    json: true,
    publish: (url, _peer, opened, pace) => publishSteadily(url, pace, opened),
  },
  {
    name: 'two-processes',
    label: 'two processes',
    json: false,
    publish: (url, { name }, _opened, pace) =>
      runChild<Publishing & { readonly pace: Pace }, readonly number[]>(
        new URL('latency-child.ts', import.meta.url),
        { url, name: peers.some((peer) => peer.name === name) ? name : waybill.name, pace },
      ),
  },
]

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages, warmUp, perSecond } = sizes(run).latency
  const figures: Figure[] = []
  for (const arrangement of arrangements) {
    const latencies = await inTurns(
      run,
      `latency: ${arrangement.label}`,
      [...contestants, again, besideLong],
      rounds,
      async (peer, url) => {
        const seed = Math.floor(run.random.next() * 2 ** 32)
        const all = await oneRound(url, peer, arrangement, { messages, perSecond, seed })
        return all.slice(warmUp)
      },
    )
    figures.push(...figuresOf(arrangement, latencies))
  }
  return {
    how: `${rounds} rounds of ${messages} messages at ${perSecond} a second at random intervals, each in a transaction of the user's own on pg, the first ${warmUp} left out. From the return of COMMIT to the first line of the handler, on one monotonic clock; below 0 where the handler began before the publisher had read the answer to its COMMIT. Each p99 rests on ${Math.ceil((messages - warmUp) / 100)} messages. Ratios are taken within a round, of no less than ${leastMs} ms. The long transaction has an xid and is open from before the first publish until after the last.`,
    figures,
  }
}

async function oneRound(url: string, peer: Peer, arrangement: Arrangement, pace: Pace): Promise<number[]> {
  const endLong = peer === besideLong ? await openLongTransaction(url) : async () => {}
  try {
    return await using(peer, url, 'latency', async (opened) => {
      const begun: number[] = []
      const tally = new Tally(pace.messages)
      const workers = await opened.work((number) => {
        begun[number] ??= nowMs()
        tally.see(number)
      })
      const committed = await arrangement.publish(url, peer, opened, pace)
      await tally.all()
      await workers.stop()
      return committed.map((atMs, number) => begun[number]! - atMs)
    })
  } finally {
    await endLong()
  }
}

async function openLongTransaction(url: string): Promise<() => Promise<void>> {
  const pool = newPool(url, 1)
  const client = await pool.connect()
  await client.query('begin')
  await client.query('select pg_current_xact_id()')
  return async () => {
    await client.query('commit')
    client.release()
    await pool.end()
  }
}

const shares = [
  ['p50', 0.5],
  ['p99', 0.99],
] as const

function figuresOf({ name, label, json }: Arrangement, latencies: Results<readonly number[]>): Figure[] {
  return shares.flatMap(([quantileName, share]) => {
    const at = (peer: Peer): number[] => latencies.get(peer)!.map((values) => quantile(values, share))
    const best = at(waybill).map((_, round) => Math.min(...peers.map((peer) => at(peer)[round]!)))
    const control = ratios(at(again), at(waybill))
    return [
      ...[...latencies.keys()].map((peer): Figure => ({
        name: `${name}-${peer.name}-${quantileName}`,
        label: `${label}: ${peer.label}, ${quantileName}`,
        unit: 'ms',
        values: at(peer),
      })),
      {
        name: `${name}-over-best-${quantileName}`,
        label: `${label}: Waybill ÷ best peer, ${quantileName}`,
        unit: 'ratio',
        values: ratios(at(waybill), best),
        goal: { atMost: 1 },
        ...(json ? { ratio: `latency${quantileName.toUpperCase()}` } : {}),
      },
      {
        name: `${name}-control-${quantileName}`,
        label: `${label}: control, Waybill ÷ Waybill, ${quantileName}`,
        unit: 'ratio',
        values: control,
      },
      {
        name: `${name}-long-${quantileName}`,
        label: `${label}: with ÷ without the long transaction, ${quantileName}`,
        unit: 'ratio',
        values: ratios(at(besideLong), at(waybill)),
        goal: { atMost: 1.1 },
        inconclusive: whyInconclusive(control),
      },
    ]
  })
}

function ratios(some: readonly number[], others: readonly number[]): number[] {
  return some.map((ms, round) => Math.max(leastMs, ms) / Math.max(leastMs, others[round]!))
}
