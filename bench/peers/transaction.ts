import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { whyInconclusive } from '../harness/control.ts'
import { median } from '../harness/statistics.ts'
import { using } from './contest.ts'
import { graphileWorker } from './graphile-worker.ts'
import type { OpenPeer, Peer } from './peer.ts'
import { pgBoss } from './pg-boss.ts'
import { inFreshDatabase } from './server.ts'
import { type Extra, type Form, bareRow, createShop, nothing, openShop } from './shop.ts'
import { sizes } from './sizes.ts'
import { waybill } from './waybill.ts'

/** What one message costs the user's own business transaction. */
export const transactionMeasure: Measure = {
  name: 'transaction',
  title: 'The business transaction, with and without a message',
  measure,
}

const variants = ['plain', 'plainAgain', 'bareRow', 'waybill', 'pgBoss', 'graphileWorker'] as const
type Variant = (typeof variants)[number]
type Rates = Readonly<Record<Variant, number[]>>

/** What takes part where statements are pipelined: the peers say nothing of their being used so. */
const pipelined: readonly Variant[] = ['plain', 'plainAgain', 'bareRow', 'waybill']

async function measure(run: Run): Promise<Findings> {
  const { connections, blocks, warmUp, block, turn } = sizes(run).transaction
  const rates = { awaited: new Map<number, Rates>(), pipelined: new Map<number, Rates>() }
  run.progress.begin('business transaction', 2 * connections.length * blocks)
  await inFreshDatabase(run, 'postgres', async (url) => {
    await createShop(url)
    await withExtras(url, async (extras) => {
      for (const [form, taking] of [
        ['awaited', variants],
        ['pipelined', pipelined],
      ] as const)
        for (const count of connections)
          rates[form].set(count, await atConnections(run, url, count, form, extras, taking))
    })
  })
  return {
    how: `begin, insert an order, update an account, [the extra], commit, each awaited, on pg at ${connections.join(', ')} connections. All in one database; nothing consumes. The bare row: id text primary key (UUIDv7), topic, key, body text (the same 1 KiB), created_at; no other index, prepared. ${blocks} blocks at each number of connections after ${warmUp} transactions of each to warm up; a block is ${block} transactions of each variant, in turns of ${turn} on each connection, in random order. Slow-down: plain tx/s ÷ the variant's, within a block. Pipelined: the same with \`pipeline: true\` of pg, where what is between begin and commit is sent at once, with and without a publish.`,
    figures: [...figuresOf(rates.awaited), ...pipelinedFigures(rates.pipelined)],
  }
}

type Extras = Readonly<Record<Variant, Extra>>

async function withExtras(url: string, work: (extras: Extras) => Promise<void>): Promise<void> {
  const opened = (peer: Peer, then: (peer: OpenPeer) => Promise<void>): Promise<void> =>
    using(peer, url, 'enqueue', then)
  await opened(waybill, (ours) =>
    opened(pgBoss, (boss) =>
      opened(graphileWorker, (graphile) =>
        work({
          plain: nothing,
          plainAgain: nothing,
          bareRow,
          waybill: ours.enqueue,
          pgBoss: boss.enqueue,
          graphileWorker: graphile.enqueue,
        }),
      ),
    ),
  )
}

async function atConnections(
  run: Run,
  url: string,
  connections: number,
  form: Form,
  extras: Extras,
  taking: readonly Variant[],
): Promise<Rates> {
  const { blocks, warmUp, block, turn } = sizes(run).transaction
  const slice = turn * connections
  const rates = byVariant((): number[] => [])
  const shop = await openShop(url, connections, form)
  for (const variant of taking) await shop.run(warmUp, extras[variant])
  for (let i = 0; i < blocks; i++) {
    const seconds = byVariant(() => 0)
    // Short turns: whatever else the machine does meanwhile meets all variants alike.
    for (let done = 0; done < block; done += slice)
      for (const variant of run.random.shuffled(taking))
        seconds[variant] += await shop.run(slice, extras[variant])
    for (const variant of taking) rates[variant].push((Math.ceil(block / slice) * slice) / seconds[variant])
    run.progress.step()
  }
  await shop.close()
  return rates
}

function byVariant<T>(make: () => T): Record<Variant, T> {
  return {
    plain: make(),
    plainAgain: make(),
    bareRow: make(),
    waybill: make(),
    pgBoss: make(),
    graphileWorker: make(),
  }
}

function figuresOf(all: ReadonlyMap<number, Rates>): Figure[] {
  const overBare = [...all].map(([connections, rates]) => overBareInsert(connections, rates))
  const worst = overBare.toSorted((a, b) => median(b.values) - median(a.values))[0]!
  return [
    ...[...all].flatMap(([connections, rates]) => slowDowns(connections, rates)),
    ...overBare,
    {
      name: 'publish-over-bare-insert',
      label: 'publish ÷ bare row, the worst of these',
      unit: 'ratio',
      values: worst.values,
      goal: { atMost: 1.05 },
      ratio: 'publishOverBareInsert',
      inconclusive: overBare.find((figure) => figure.inconclusive !== undefined)?.inconclusive,
    },
  ]
}

function pipelinedFigures(all: ReadonlyMap<number, Rates>): Figure[] {
  return [...all].flatMap(([connections, rates]) => {
    const control = ratios(rates.plain, rates.plainAgain)
    const figure = (name: string, label: string, values: readonly number[], rest: object = {}): Figure => ({
      name: `pipelined-${name}-${connections}`,
      label: `pipelined at ${connections}: ${label}`,
      unit: 'ratio',
      values,
      ...rest,
    })
    return [
      figure('control', 'control, plain ÷ plain', control),
      figure('bare-insert', 'slow-down by a bare row', ratios(rates.plain, rates.bareRow)),
      figure('waybill', 'slow-down by a publish', ratios(rates.plain, rates.waybill), {
        goal: { atMost: 1.15 },
        inconclusive: whyInconclusive(control),
      }),
    ]
  })
}

function slowDowns(connections: number, rates: Rates): Figure[] {
  const at = `${connections} connection${connections === 1 ? '' : 's'}`
  const rate = (name: string, label: string, variant: Variant): Figure => ({
    name: `${name}-${connections}-rate`,
    label: `${at}: ${label}`,
    unit: 'tx/s',
    values: rates[variant],
  })
  const slowDown = (name: string, label: string, variant: Variant): Figure => ({
    name: `${name}-${connections}`,
    label: `${at}: ${label}`,
    unit: 'ratio',
    values: ratios(rates.plain, rates[variant]),
  })
  return [
    rate('plain', 'without a message', 'plain'),
    rate('bare-insert', 'with a bare row', 'bareRow'),
    rate('waybill', 'with a publish', 'waybill'),
    rate('pg-boss', 'with pg-boss send', 'pgBoss'),
    rate('graphile-worker', 'with graphile add_job', 'graphileWorker'),
    slowDown('control', 'control, plain ÷ plain', 'plainAgain'),
    slowDown('bare-insert', 'slow-down by a bare row', 'bareRow'),
    slowDown('waybill', 'slow-down by a publish', 'waybill'),
    slowDown('pg-boss', 'slow-down by pg-boss send', 'pgBoss'),
    slowDown('graphile-worker', 'slow-down by graphile add_job', 'graphileWorker'),
  ]
}

function overBareInsert(connections: number, rates: Rates): Figure {
  const why = whyInconclusive(ratios(rates.plain, rates.plainAgain))
  return {
    name: `publish-over-bare-insert-${connections}`,
    label: `publish ÷ bare row at ${connections}`,
    unit: 'ratio',
    values: ratios(rates.bareRow, rates.waybill),
    inconclusive: why && `at ${connections}, ${why}`,
  }
}

function ratios(some: readonly number[], others: readonly number[]): number[] {
  return some.map((rate, block) => rate / others[block]!)
}
