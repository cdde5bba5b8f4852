import { reasonOf } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { MyConnection, type StatementTexts } from './connection.ts'
import type { MyRunner } from './driver.ts'

/** Who cannot end the zombie fails after that long, and is tried again. */
const lockTimeoutMs = 5_000
/** The server looks at its lock waits no more often. */
const lookEveryMs = 100

/** That of one of Waybill's own transactions, with a way to see from outside what it waits for. */
export class OwnConnection extends MyConnection {
  readonly aside: MyConnection
  readonly ports: Pick<Ports, 'clock' | 'log'>

  constructor(
    runner: MyRunner,
    texts: StatementTexts,
    aside: MyConnection,
    ports: Pick<Ports, 'clock' | 'log'>,
  ) {
    super(runner, texts)
    this.aside = aside
    this.ports = ports
  }
}

export interface Patience {
  readonly waitMs: number
  /** Ends only whose client has said nothing for that long as well: one that is merely slow goes on. */
  readonly ifIdle?: boolean
}

/** Both servers: who waits for whom, by connection. The views of `sys` would take rights on them besides. */
const waits = {
  mariaDb: `select r.trx_mysql_thread_id as waiting, b.trx_mysql_thread_id as blocking from information_schema.innodb_lock_waits w
    join information_schema.innodb_trx r on r.trx_id = w.requesting_trx_id join information_schema.innodb_trx b on b.trx_id = w.blocking_trx_id`,
  // Not by its columns of threads: the lock of a row that was just inserted is made by whoever comes to wait for it.
  mySql: `select r.trx_mysql_thread_id as waiting, b.trx_mysql_thread_id as blocking from performance_schema.data_lock_waits w
    join information_schema.innodb_trx r on r.trx_id = w.requesting_engine_transaction_id
    join information_schema.innodb_trx b on b.trx_id = w.blocking_engine_transaction_id`,
}

/** For what takes moments, such as a heartbeat: one that stands still in the middle would stop those of all others. */
export const moments: Patience = { waitMs: 2_000, ifIdle: true }

/** For what a message's former owner may still hold: it lost its lease before this one was given, and has until then to give up. */
export const predecessor: Patience = { waitMs: 500 }

/**
 * Runs the statements of one of Waybill's own transactions that wait for what only an instance whose lease has lapsed can hold for
 * long, such as a receipt that is not committed; the instance may stand still for ever, or the network to it be gone. Whoever still
 * holds it after that time loses its connection, and its server rolls back (P16). Safe at any time: fences and receipts decide what
 * takes effect.
 */
export async function endingZombies<R>(
  connection: MyConnection,
  { waitMs, ifIdle = false }: Patience,
  work: () => Promise<R>,
): Promise<R> {
  if (!(connection instanceof OwnConnection)) return work()
  const { aside, ports } = connection
  const [own] = await connection.all(
    'select connection_id() as id, @@innodb_lock_wait_timeout as wait_s, version() as version',
  )
  const { id, wait_s: waitS, version } = own as { id: number; wait_s: number; version: string }
  const ofServer = /mariadb/i.test(version) ? waits.mariaDb : waits.mySql
  await connection.run(`set innodb_lock_wait_timeout = ${Math.ceil((waitMs + lockTimeoutMs) / 1_000)}`)
  let isOver = false
  const look = async (): Promise<void> => {
    try {
      for (const zombie of await blockersOf(aside, ofServer, id, ifIdle ? waitMs / 1_000 : undefined))
        // Between the look and this the wait may have ended by itself.
        if (!isOver) await aside.run(`kill ${zombie}`)
    } catch (error) {
      ports.log.warn(
        { err: error },
        `a transaction of an instance whose lease has lapsed could not be ended; Waybill's user needs the right PROCESS to find it, and on MySQL SELECT on performance_schema.data_lock_waits: ${reasonOf(error)}`,
      )
    }
    if (!isOver) cancel = ports.clock.after(lookEveryMs, () => void look())
  }
  let cancel = ports.clock.after(waitMs, () => void look())
  try {
    return await work()
  } finally {
    isOver = true
    cancel()
    await connection.run(`set innodb_lock_wait_timeout = ${waitS}`)
  }
}

/** Nobody behind another waiter: whoever waits for the same is no zombie for that. */
async function blockersOf(
  aside: MyConnection,
  ofServer: string,
  waiting: number,
  idleS: number | undefined,
): Promise<readonly number[]> {
  const rows = (await aside.all(
    // A prepared XA transaction has no connection.
    `select distinct waiting, blocking from (${ofServer}) w where blocking > 0`,
  )) as unknown as readonly {
    readonly waiting: number
    readonly blocking: number
  }[]
  const blockers = rows.filter((row) => row.waiting === waiting).map((row) => row.blocking)
  const first = blockers.filter(
    (blocker) => !rows.some((row) => row.waiting === blocker && blockers.includes(row.blocking)),
  )
  if (idleS === undefined || first.length === 0) return first
  const idle = await aside.all(
    "select id from information_schema.processlist where command = 'Sleep' and time >= ?",
    idleS,
  )
  return first.filter((blocker) => idle.some((row) => row['id'] === blocker))
}
