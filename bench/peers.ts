import type { Bench } from './harness/bench.ts'
import { drainMeasure } from './peers/drain.ts'
import { endToEndMeasure } from './peers/end-to-end.ts'
import { graphileWorker } from './peers/graphile-worker.ts'
import { historyMeasure } from './peers/history.ts'
import { latencyMeasure } from './peers/latency.ts'
import { mariadbMeasure } from './peers/mariadb.ts'
import { bodyBytes } from './peers/orders.ts'
import { pgBoss } from './peers/pg-boss.ts'
import { receiptsMeasure } from './peers/receipts.ts'
import { mariadbSettings, serverSettings, serverVersions } from './peers/server.ts'
import { sizes } from './peers/sizes.ts'
import { transactionMeasure } from './peers/transaction.ts'
import { walMeasure } from './peers/wal.ts'
import { mariadbConsumer, mariadbRelay } from './peers/waybill-mariadb.ts'
import { waybill, waybillRelay } from './peers/waybill.ts'

const contestants = [waybill, waybillRelay, pgBoss, graphileWorker, mariadbConsumer, mariadbRelay]

/** Waybill on PostgreSQL beside job queues on the same server. */
export const peersBench: Bench = {
  name: 'peers',
  about: 'Waybill, pg-boss and graphile-worker on one PostgreSQL',
  measures: [
    drainMeasure,
    receiptsMeasure,
    endToEndMeasure,
    latencyMeasure,
    transactionMeasure,
    walMeasure,
    historyMeasure,
    mariadbMeasure,
  ],
  settings: (run) => ({
    servers: serverVersions,
    postgres: { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', ...serverSettings },
    mariadb: { innodb_flush_log_at_trx_commit: 1, ...mariadbSettings },
    bodyBytes,
    ...Object.fromEntries(contestants.map(({ name, settings }) => [name, settings])),
    sizes: sizes(run),
  }),
}
