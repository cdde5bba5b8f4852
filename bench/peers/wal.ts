import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { type Results, drain, fill, inTurns, using } from './contest.ts'
import { contestants } from './contestants.ts'
import type { Peer } from './peer.ts'
import { execute } from './server.ts'
import { sizes } from './sizes.ts'
import { waybill, waybillPlain, waybillRelay } from './waybill.ts'

/** How much the server writes ahead for each message. */
export const walMeasure: Measure = {
  name: 'wal',
  title: 'Write-ahead log per message, bodies included',
  measure,
}

interface Bytes {
  readonly enqueued: number
  readonly drained: number
  /** Undefined where nothing is kept, or where it is not known how to delete it at once. */
  readonly deleted: number | undefined
}

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages } = sizes(run).wal
  const bytes = await inTurns(run, 'wal', [...contestants, waybillPlain, waybillRelay], rounds, (peer, url) =>
    walOf(peer, url, messages),
  )
  return {
    how: `${rounds} rounds, each contestant in a fresh database, after a checkpoint and with none meanwhile: the server's WAL position before and after enqueuing ${messages} messages of 1 KiB in bulk, and after working them off with a handler that does nothing. The ratio is of both together, Waybill with receipts against the better peer of the round: once with a payload only, as a peer's job has it, and once with a business key and a sharding key, by which Waybill's messages are found and stay in order. Deleted later: what is kept of handled messages, after another checkpoint, without vacuum; graphile-worker keeps nothing, and of pg-boss, which keeps jobs for days too, it is not measured.`,
    figures: figuresOf(bytes),
  }
}

async function walOf(peer: Peer, url: string, messages: number): Promise<Bytes> {
  const start = await using(peer, url, 'drain', async (opened) => {
    const before = await walPosition(url)
    await fill(opened, messages)
    return before
  })
  const enqueued = await walPosition(url)
  await execute(url, 'analyze')
  const analyzed = await walPosition(url)
  await using(peer, url, 'drain', (opened) => drain(opened, messages))
  const end = await walPosition(url)
  return {
    enqueued: (enqueued - start) / messages,
    drained: (end - analyzed) / messages,
    deleted: await deletionOf(peer, url, messages),
  }
}

/** Of pages that were written before the last checkpoint, as those of old messages are: each is written ahead as a whole. */
async function deletionOf(peer: Peer, url: string, messages: number): Promise<number | undefined> {
  return using(peer, url, 'drain', async ({ deleteDone }) => {
    if (!deleteDone) return undefined
    await execute(url, 'checkpoint')
    const before = await walPosition(url)
    await deleteDone()
    return ((await walPosition(url)) - before) / messages
  })
}

async function walPosition(url: string): Promise<number> {
  const [row] = await execute(
    url,
    "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as bytes",
  )
  return row!['bytes'] as number
}

function figuresOf(results: Results<Bytes>): Figure[] {
  const totals = new Map(
    [...results].map(([peer, all]) => [peer, all.map(({ enqueued, drained }) => enqueued + drained)]),
  )
  const peers = contestants.filter((peer) => peer !== waybill)
  const drained = (peer: Peer): number[] => results.get(peer)!.map((bytes) => bytes.drained)
  const ratio = (of: (peer: Peer) => readonly number[], ours: Peer): number[] =>
    of(ours).map((bytes, round) => bytes / Math.min(...peers.map((peer) => of(peer)[round]!)))
  const total = (peer: Peer): readonly number[] => totals.get(peer)!
  return [
    ...[...results].flatMap(([{ name, label }, all]): Figure[] => [
      {
        name: `${name}-enqueue`,
        label: `${label}: enqueue`,
        unit: 'B/msg',
        values: all.map((bytes) => bytes.enqueued),
      },
      {
        name: `${name}-drain`,
        label: `${label}: drain`,
        unit: 'B/msg',
        values: all.map((bytes) => bytes.drained),
      },
      ...deletedLater(name, label, all),
    ]),
    {
      name: 'drain-ratio',
      label: 'drain with receipts ÷ better peer',
      unit: 'ratio',
      values: ratio(drained, waybill),
    },
    {
      name: 'relay-drain-ratio',
      label: 'drain by the relay ÷ better peer',
      unit: 'ratio',
      values: ratio(drained, waybillRelay),
    },
    {
      name: 'ratio',
      label: 'enqueue to handled ÷ better peer, a payload only',
      unit: 'ratio',
      values: ratio(total, waybillPlain),
      goal: { atMost: 0.5 },
      ratio: 'walPerMessage',
    },
    {
      name: 'with-key-ratio',
      label: 'enqueue to handled ÷ better peer, with keys',
      unit: 'ratio',
      values: ratio(total, waybill),
      ratio: 'walPerMessageWithKey',
    },
  ]
}

function deletedLater(name: string, label: string, all: readonly Bytes[]): Figure[] {
  const values = all.map(({ deleted }) => deleted).filter((bytes) => bytes !== undefined)
  if (values.length === 0) return []
  return [{ name: `${name}-delete`, label: `${label}: deleted later`, unit: 'B/msg', values }]
}
