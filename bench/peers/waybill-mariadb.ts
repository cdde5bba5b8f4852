import { type Pool, type PoolConnection, createPool } from 'mysql2/promise'
import { Waybill, type WaybillOptions } from 'waybill'
import { mysql2 } from 'waybill/mysql2'
import type { OpenPeer, Peer, Use } from './peer.ts'
import { batchDefault, consume, group, publishing, waiting } from './playing.ts'
import { Relaying } from './relaying.ts'

type MysqlWaybill = Waybill<PoolConnection, 'async'>

const poolMax = 20

export const mariadbConsumer: Peer<PoolConnection> = {
  name: 'waybill-mariadb',
  label: 'MariaDB, with receipts',
  service: 'mariadb',
  settings: { consume: `batch ${batchDefault}, receipts`, pool: poolMax },
  open: openConsumer,
}

export const mariadbRelay: Peer<PoolConnection> = {
  name: 'waybill-mariadb-relay',
  label: 'MariaDB, the relay',
  service: 'mariadb',
  settings: { transport: 'answers "sent" for all, at once', pool: poolMax },
  open: openRelay,
}

async function openConsumer(url: string, use: Use): Promise<OpenPeer<PoolConnection>> {
  const pool = newPool(url)
  const instance = newWaybill(pool)
  await instance.schema()
  return {
    ...publishing(instance),
    work: (handled) => consume(instance, use, handled),
    unfinished: () => waiting(instance, group),
    close: () => close(instance, pool),
  }
}

async function openRelay(url: string): Promise<OpenPeer<PoolConnection>> {
  const pool = newPool(url)
  const relaying = new Relaying<PoolConnection>()
  const instance = newWaybill(pool, relaying.options)
  await instance.schema()
  return {
    ...publishing(instance),
    work: (handled) => relaying.start(instance, handled),
    unfinished: () => waiting(instance, '@relay'),
    close: () => close(instance, pool),
  }
}

function newWaybill(
  pool: Pool,
  options: Pick<WaybillOptions<PoolConnection, 'async'>, 'transport' | 'ports'> = {},
): MysqlWaybill {
  return new Waybill({ service: 'bench', database: mysql2(pool), migrate: 'auto', ...options })
}

function newPool(url: string): Pool {
  return createPool({ uri: url, connectionLimit: poolMax })
}

async function close(instance: MysqlWaybill, pool: Pool): Promise<void> {
  await instance.stop()
  await pool.end()
}
