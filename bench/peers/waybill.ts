import { Pool, type PoolClient } from 'pg'
import { type Database, Waybill, type WaybillOptions } from 'waybill'
import { pg } from 'waybill/pg'
import { type OpenPeer, type Peer, type Use, perMessageConcurrency } from './peer.ts'
import {
  type Consuming,
  batchDefault,
  consume,
  consumingDefault,
  group,
  orderPaid,
  publishing,
  waiting,
} from './playing.ts'
import { Relaying } from './relaying.ts'

export type PgWaybill = Waybill<PoolClient, 'async'>

const poolMax = 20

/** Consumes with receipts. */
export const waybill: Peer = {
  name: 'waybill',
  label: 'Waybill',
  service: 'postgres',
  settings: {
    queues: orderPaid.queues,
    publish: 'arrays in waybill.transaction',
    consume: `batch ${batchDefault}, receipts`,
    perMessage: `no batch, concurrency ${perMessageConcurrency}, receipts`,
    latency: `no batch, concurrency ${perMessageConcurrency} (the default), receipts`,
    pool: poolMax,
  },
  open: (url, use) => openConsumer(url, use),
}

/** The same, with a handler that looks into each body, which is parsed for it. */
export const waybillReading: Peer = {
  ...waybill,
  name: 'waybill-reading',
  label: 'Waybill, bodies read',
  open: (url, use) => openConsumer(url, use, { ...consumingDefault, readsBody: true }),
}

/** The same, with messages that have a payload only, as a peer's jobs. */
export const waybillPlain: Peer = {
  ...waybillReading,
  name: 'waybill-plain',
  label: 'Waybill without keys',
  open: (url, use) => openConsumer(url, use, { ...consumingDefault, readsBody: true }, false),
}

/** Relays into a transport that does nothing. */
export const waybillRelay: Peer = {
  name: 'waybill-relay',
  label: "Waybill's relay",
  service: 'postgres',
  settings: { queues: orderPaid.queues, transport: 'answers "sent" for all, at once', pool: poolMax },
  open: openRelay,
}

export async function openConsumer(
  url: string,
  use: Use,
  consuming: Consuming = consumingDefault,
  isKeyed = true,
): Promise<OpenPeer> {
  const pool = newPool(url)
  const { database, store } = storeOf(pg(pool))
  const instance = newWaybill(pool, { database })
  await instance.schema()
  return {
    ...publishing(instance, isKeyed),
    work: (handled) => consume(instance, use, handled, consuming),
    unfinished: () => waiting(instance, group),
    deleteDone: async () => {
      const old = Date.now() + 1
      while ((await store().purge(old, old)) > 0);
    },
    close: () => close(instance, pool),
  }
}

/** The same handle, and the store that it opens: what upkeep does in an hour, a bench does at once. */
function storeOf<Tx>(handle: Database<Tx, 'async'>): {
  database: Database<Tx, 'async'>
  store: () => Store<Tx>
} {
  let store: Store<Tx> | undefined
  const database: Database<Tx, 'async'> = {
    ...handle,
    open: (ports, options) => {
      const opened = handle.open(ports, options)
      store = opened.store
      return opened
    },
  }
  return { database, store: () => store! }
}

type Store<Tx> = ReturnType<Database<Tx>['open']>['store']

async function openRelay(url: string): Promise<OpenPeer> {
  const pool = newPool(url)
  const relaying = new Relaying<PoolClient>()
  const instance = newWaybill(pool, relaying.options)
  await instance.schema()
  return {
    ...publishing(instance),
    work: (handled) => relaying.start(instance, handled),
    unfinished: () => waiting(instance, '@relay'),
    close: () => close(instance, pool),
  }
}

export function newWaybill(
  pool: Pool,
  options: Partial<Pick<WaybillOptions<PoolClient, 'async'>, 'database' | 'transport' | 'ports'>> = {},
): PgWaybill {
  return new Waybill({ service: 'bench', database: pg(pool), migrate: 'auto', ...options })
}

export function newPool(url: string, max: number = poolMax, pipeline = false): Pool {
  const pool = new Pool({ connectionString: url, max, pipeline })
  // Connections that the server ends when the database is dropped.
  pool.on('error', () => {})
  pool.on('connect', (client) => void client.on('error', () => {}))
  return pool
}

export async function close(instance: PgWaybill, pool: Pool): Promise<void> {
  await instance.stop()
  await pool.end()
}
