import { reasonOf } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { PgConnection, type StatementTexts } from './connection.ts'
import type { PgRunner } from './driver.ts'

/** Who cannot end the zombie fails after that long, and is tried again. */
const lockTimeoutMs = 5_000
const lookEveryMs = 100

/** That of one of Waybill's own transactions, with a way to see from outside what it waits for. */
export class OwnConnection extends PgConnection {
  readonly aside: PgConnection
  readonly ports: Pick<Ports, 'clock' | 'log'>

  constructor(
    runner: PgRunner,
    texts: StatementTexts,
    aside: PgConnection,
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

/** Nobody behind another waiter: whoever waits for the same is no zombie for that. Nothing, once the transaction goes on or is over. */
const terminate = `select pg_terminate_backend(z.pid) from pg_stat_activity w
  cross join lateral unnest(pg_blocking_pids(w.pid)) b(pid) join pg_stat_activity z on z.pid = b.pid
  where w.pid = ? and extract(epoch from w.xact_start)::text = ? and not pg_blocking_pids(z.pid) && pg_blocking_pids(w.pid)
    and (not ?::boolean or z.state like 'idle in transaction%' and z.state_change < clock_timestamp() - make_interval(secs => ?))`

/** For what takes moments, such as a heartbeat: one that stands still in the middle would stop those of all others. */
export const moments: Patience = { waitMs: 2_000, ifIdle: true }

/** For what a message's former owner may still hold: it lost its lease before this one was given, and has until then to give up. */
export const predecessor: Patience = { waitMs: 500 }

/**
 * Runs the statement of one of Waybill's own transactions that waits for what only an instance whose lease has lapsed can hold for
 * long, such as a receipt that is not committed; the instance may stand still for ever, or the network to it be gone. Whoever still
 * holds it after that time loses its connection, and its server rolls back (P16). Safe at any time: fences and receipts decide what
 * takes effect.
 */
export async function endingZombies<R>(
  connection: PgConnection,
  { waitMs, ifIdle = false }: Patience,
  work: () => Promise<R>,
): Promise<R> {
  if (!(connection instanceof OwnConnection)) return work()
  const { aside, ports } = connection
  const [own] = await connection.all(
    `select pg_backend_pid() as pid, extract(epoch from now())::text as began, set_config('lock_timeout', ?, true)`,
    `${waitMs + lockTimeoutMs}ms`,
  )
  let isOver = false
  const look = async (): Promise<void> => {
    try {
      await aside.all(terminate, own!['pid'], own!['began'], ifIdle, waitMs / 1_000)
    } catch (error) {
      ports.log.warn(
        { err: error },
        `a transaction of an instance whose lease has lapsed could not be ended: ${reasonOf(error)}`,
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
  }
}
