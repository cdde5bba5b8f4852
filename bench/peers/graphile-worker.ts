import type { Pool, PoolClient } from 'pg'
import type { Order } from '../sqlite/messages.ts'
import { numberOf, numberedOrder } from './orders.ts'
import { type OpenPeer, type Peer, type Use, type Workers, perMessageConcurrency } from './peer.ts'
import { versionOf } from './versions.ts'
import { newPool } from './waybill.ts'

const task = 'order-paid'
const schema = 'graphile_worker'

/** The preset of its documentation for high throughput; the longer local queue drains faster. */
const bulk = { concurrentJobs: 24, maxPoolSize: 26, localQueue: { size: 5000 }, completeJobBatchDelay: 0 }

const presets = {
  drain: bulk,
  endToEnd: { ...bulk, localQueue: { size: 500 } },
  perMessage: { concurrentJobs: perMessageConcurrency, maxPoolSize: perMessageConcurrency + 2 },
  latency: { concurrentJobs: 10, maxPoolSize: 12 },
} satisfies Record<Exclude<Use, 'enqueue'>, GraphileConfig.WorkerOptions>

export const graphileWorker: Peer = {
  name: 'graphile-worker',
  label: 'graphile-worker',
  service: 'postgres',
  settings: {
    version: versionOf('graphile-worker'),
    presets,
    logger: 'silent',
    NO_LOG_SUCCESS: '1',
    addJob: 'prepared',
  },
  open,
}

async function open(url: string, use: Use): Promise<OpenPeer> {
  // It reads this when it is loaded. Without it, every job is a line for the log.
  process.env['NO_LOG_SUCCESS'] = '1'
  const { Logger, makeWorkerUtils, run } = await import('graphile-worker')
  const logger = new Logger(() => (level, message) => {
    if (level === 'error') console.error('graphile-worker:', message)
  })
  const pool = newPool(url, bulk.maxPoolSize)
  const utils = await makeWorkerUtils({ pgPool: pool, logger })
  await utils.migrate()
  return {
    enqueue,
    async enqueueMany(from, count) {
      await utils.addJobs(
        Array.from({ length: count }, (_, i) => ({ identifier: task, payload: numberedOrder(from + i) })),
      )
    },
    async work(handled): Promise<Workers> {
      if (use === 'enqueue') throw new Error('this one only enqueues')
      const runner = await run({
        connectionString: url,
        logger,
        noHandleSignals: true,
        parsedCronItems: [],
        taskList: { [task]: async (payload) => handled(numberOf((payload as Order).id)) },
        preset: { worker: presets[use] },
      })
      return { settled: () => untilNoneIsLeft(pool), stop: () => runner.stop() }
    },
    unfinished: () => unfinished(pool),
    async close() {
      await utils.release()
      await pool.end()
    },
  }
}

async function enqueue(tx: PoolClient, number: number): Promise<void> {
  await tx.query({
    name: 'graphile-add-job',
    text: `select ${schema}.add_job($1, payload => $2::json)`,
    values: [task, JSON.stringify(numberedOrder(number))],
  })
}

/** It deletes what is done, in batches, after the handler has returned. */
async function untilNoneIsLeft(pool: Pool): Promise<void> {
  const any = `select 1 from ${schema}._private_jobs limit 1`
  while ((await pool.query(any)).rows.length > 0);
}

async function unfinished(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ left: number }>(
    `select count(*)::int as left from ${schema}._private_jobs`,
  )
  return rows[0]!.left
}
