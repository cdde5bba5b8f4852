import type { Pool } from 'pg'
import { type ConstructorOptions, type Job, PgBoss, type WorkOptions } from 'pg-boss'
import type { Order } from '../sqlite/messages.ts'
import { numberOf, numberedOrder } from './orders.ts'
import { type OpenPeer, type Peer, type Use, type Workers, perMessageConcurrency } from './peer.ts'
import { versionOf } from './versions.ts'
import { newPool } from './waybill.ts'

const queue = 'order-paid'

const pollingIntervalSeconds = 0.5

/** Bigger batches than its own default, and burst: no pause after a full one. */
const bulk = { batchSize: 2000, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds }

const workOptions: Readonly<Record<Exclude<Use, 'enqueue'>, WorkOptions>> = {
  drain: bulk,
  endToEnd: { ...bulk, batchSize: 1000 },
  // A batch of one is never "full": its other burst goes by the number of waiting jobs that it has cached.
  perMessage: {
    batchSize: 1,
    localConcurrency: perMessageConcurrency,
    burstWhenReadyExceeds: 1,
    transactional: true,
    // Without a bound, it need not set one in each transaction, which takes it longer than all the rest.
    transactionTimeoutSeconds: 0,
    pollingIntervalSeconds,
  },
  latency: { batchSize: 10, localConcurrency: 4, pollingIntervalSeconds },
}

/** Whether enqueuing tells the workers; costs the user's transaction a NOTIFY. */
const notifies: Readonly<Record<Use, boolean>> = {
  drain: false,
  endToEnd: true,
  perMessage: false,
  latency: true,
  enqueue: false,
}

const constructorOptions = {
  max: 20,
  // Its maintenance is due every minute and later: nothing of it belongs into runs that are this short.
  supervise: false,
  schedule: false,
  // Counts when it is asked to, not only if a minute has gone by.
  monitorIntervalSeconds: 1,
} satisfies ConstructorOptions

export const pgBoss: Peer = {
  name: 'pg-boss',
  label: 'pg-boss',
  service: 'postgres',
  settings: {
    version: versionOf('pg-boss'),
    constructor: constructorOptions,
    work: workOptions,
    notify: notifies,
  },
  open,
}

async function open(url: string, use: Use): Promise<OpenPeer> {
  const pool = newPool(url)
  let boss = await started(url, use)
  await boss.createQueue(queue, { notify: notifies[use] })
  if (use === 'perMessage' && (await unfinished(pool)) > 0) boss = await countedAnew(boss, url)
  return {
    async enqueue(tx, number) {
      await boss.send(queue, numberedOrder(number), {
        db: { executeSql: (text, values) => tx.query(text, values as unknown[]) },
      })
    },
    async enqueueMany(from, count) {
      await boss.insert(
        queue,
        Array.from({ length: count }, (_, i) => ({ data: numberedOrder(from + i) })),
      )
    },
    async work(handled) {
      if (use === 'enqueue') throw new Error('this one only enqueues')
      return work(boss, workOptions[use], handled)
    },
    unfinished: () => unfinished(pool),
    async close() {
      await boss.stop({ graceful: false })
      await pool.end()
    },
  }
}

async function started(url: string, use: Use): Promise<PgBoss> {
  const boss = new PgBoss({ ...constructorOptions, connectionString: url, useListenNotify: notifies[use] })
  boss.on('error', (error) => console.error('pg-boss:', error.message))
  return boss.start()
}

/** So that the number of waiting jobs, which its burst goes by, is of now. */
async function countedAnew(boss: PgBoss, url: string): Promise<PgBoss> {
  await boss.supervise(queue)
  await boss.stop({ graceful: false })
  const anew = await started(url, 'perMessage')
  const counted = await anew.getQueue(queue)
  if (!counted?.readyCount)
    throw new Error('pg-boss does not know that jobs wait, and would pause after each')
  return anew
}

async function work(boss: PgBoss, options: WorkOptions, handled: (number: number) => void): Promise<Workers> {
  await boss.work<Order>(queue, options, async (jobs: Job<Order>[]) => {
    for (const { data } of jobs) handled(numberOf(data.id))
  })
  // Waits for the batches at hand, and so for the completion of their jobs.
  const stop = (): Promise<void> => boss.offWork(queue, { wait: true })
  return { settled: stop, stop }
}

async function unfinished(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ left: number }>(
    "select count(*)::int as left from pgboss.job where name = $1 and state <> 'completed'",
    [queue],
  )
  return rows[0]!.left
}
