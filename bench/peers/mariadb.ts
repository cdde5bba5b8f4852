import type { Figure, Findings, Measure, Run } from '../harness/bench.ts'
import { type Results, drainPreloaded, inTurns } from './contest.ts'
import type { Peer } from './peer.ts'
import { sizes } from './sizes.ts'
import { mariadbConsumer, mariadbRelay } from './waybill-mariadb.ts'
import { waybill, waybillRelay } from './waybill.ts'

/** Waybill on MariaDB beside Waybill on PostgreSQL. */
export const mariadbMeasure: Measure = {
  name: 'mariadb',
  title: "MariaDB's drain beside PostgreSQL's",
  measure,
}

async function measure(run: Run): Promise<Findings> {
  const { rounds, messages } = sizes(run).mariadb
  const all = [waybillRelay, mariadbRelay, waybill, mariadbConsumer]
  const rates = await inTurns(run, 'mariadb', all, rounds, (peer, url) =>
    drainPreloaded(peer, url, 'drain', messages),
  )
  return {
    how: `${rounds} rounds of ${messages} messages of 1 KiB, enqueued before: by the relay into a transport that does nothing, and by a group with receipts in batches of 100. Both servers are durable and have 1 GB for their pages. Checked by id.`,
    figures: [
      ...figuresOf('relay', 'the relay', rates, waybillRelay, mariadbRelay),
      ...figuresOf('receipts', 'with receipts', rates, waybill, mariadbConsumer),
    ],
  }
}

function figuresOf(
  name: string,
  label: string,
  rates: Results<number>,
  postgres: Peer<never>,
  mariadb: Peer<never>,
): Figure[] {
  const [onPostgres, onMariadb] = [rates.get(postgres)!, rates.get(mariadb)!]
  return [
    { name: `${name}-postgres`, label: `PostgreSQL, ${label}`, unit: 'msg/s', values: onPostgres },
    { name: `${name}-mariadb`, label: `MariaDB, ${label}`, unit: 'msg/s', values: onMariadb },
    {
      name: `${name}-ratio`,
      label: `MariaDB ÷ PostgreSQL, ${label}`,
      unit: 'ratio',
      values: onMariadb.map((rate, round) => rate / onPostgres[round]!),
      goal: { atLeast: 0.5 },
    },
  ]
}
