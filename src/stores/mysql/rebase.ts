import { audit } from '../sql/audit.ts'
import { beginEpoch } from '../sql/epochs.ts'
import type { MyConnection } from './connection.ts'
import { meta } from './migrate.ts'

/** Where a database is: on which server, and in which run of it. */
interface Place {
  readonly server: string
  readonly startedAt: number
}

/** The server tells how long it runs in whole seconds. */
const startToleranceMs = 1_500

/**
 * Notices that what was remembered of this database need not be true any more (P12): its server was started anew, and maybe on older
 * files; another one was promoted, and may lack what the former had; or it is a dump that was restored here. Whoever holds a lease goes
 * by what it remembers, so it is fenced. Another server begins a new epoch; older files on the same one are seen by whoever had read
 * what is gone. Answers whether a new epoch began.
 */
export async function rebase(connection: MyConnection, newEpoch: () => string): Promise<boolean> {
  const here = await placeNow(connection)
  if (isSame(toPlace(await meta(connection, 'server')), here)) return false
  const [row] = await connection.all("select value from waybill_meta where name = 'server' for update")
  const known = toPlace(row?.['value'])
  if (isSame(known, here)) return false
  // Above every fence of a future that is gone.
  await connection.run('update waybill_leases set fence = greatest(fence + 1, waybill_now())')
  const isEpoch = known !== undefined && known.server !== here.server
  if (isEpoch) await moved(connection, newEpoch())
  await connection.run(
    "insert into waybill_meta (name, value) values ('server', ?) on duplicate key update value = values(value)",
    JSON.stringify(here),
  )
  return isEpoch
}

async function moved(connection: MyConnection, epoch: string): Promise<void> {
  await connection.run(beginEpoch, epoch)
  const because =
    'this database is on another server than before: it was restored or promoted, and may be an older state'
  await audit(connection, 'epoch', {}, { by: 'waybill', because })
}

async function placeNow(connection: MyConnection): Promise<Place> {
  // server_uuid is MySQL's, and not every server has all of the others.
  const variables = await connection.all(
    "show global variables where variable_name in ('server_uuid', 'server_id', 'hostname', 'port', 'datadir')",
  )
  const [uptime] = await connection.all("show global status like 'Uptime'")
  const [now] = await connection.all('select waybill_now() as now')
  const names = variables.map((row) => `${row['Variable_name']}=${row['Value']}`)
  return {
    server: [`schema=${connection.schema}`, ...names.sort()].join(' '),
    startedAt: (now!['now'] as number) - secondsOf(uptime!['Value']) * 1_000,
  }
}

/** A session whose time was set to before the server's start gets a number below zero, but unsigned: too large to be exact. */
function secondsOf(uptime: string): number {
  return Number(BigInt.asIntN(64, BigInt(uptime)))
}

function toPlace(text: unknown): Place | undefined {
  return typeof text === 'string' ? (JSON.parse(text) as Place) : undefined
}

function isSame(known: Place | undefined, here: Place): boolean {
  return known?.server === here.server && Math.abs(known.startedAt - here.startedAt) <= startToleranceMs
}
