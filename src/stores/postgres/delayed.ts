import type { DelayedKey } from '../../core/delayed.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Lease } from '../../core/store.ts'
import type { PgConnection } from './connection.ts'
import { fenceHolds, fenceParams, leaseLost } from './leases.ts'
import { messageColumns } from './rows.ts'

/**
 * Moves what is due into the log, by (due, position): in one statement under the lease, so that a due message enters the log once
 * however many instances there are. It waits for locked ones, since skipping them would change the order, and leaves out those that
 * were cancelled meanwhile (P22). Writes nothing while nothing is due (P15).
 */
const move = `with lease as materialized (select ${fenceHolds} as holds), due as materialized (
    select pos from waybill_delayed where topic = ? and queue = ? and eligible_at <= ? and (select holds from lease)
    order by eligible_at, pos limit ? for update
  ), gone as (
    delete from waybill_delayed d using due where d.pos = due.pos returning d.*
  ), moved as (
    insert into waybill_messages (${messageColumns}) select ${messageColumns} from gone order by eligible_at, pos returning 1
  ) select holds, (select count(*) from moved) as moved from lease`

export async function moveDue(
  connection: PgConnection,
  lease: Lease,
  now: number,
  limit: number,
): Promise<number> {
  const [row] = await connection.all(move, ...fenceParams(lease), lease.topic, lease.queue, now, limit)
  if (!row!['holds']) throw leaseLost(lease)
  return row!['moved'] as number
}

/** Answers the ids that were still waiting and are now cancelled: whoever is not among them was too late (P22). */
export async function cancelDelayed(
  connection: PgConnection,
  which: DelayedKey,
  because: string,
): Promise<readonly MessageId[]> {
  const [column, value] = 'id' in which ? (['id', which.id] as const) : (['key', which.key] as const)
  const rows = await connection.all(
    `with gone as (
       delete from waybill_delayed where service = ? and topic = ? and ${column} = ? returning *
     ) insert into waybill_ended (message_id, state, service, topic, tag, key, sharding_key, published_at, at, because)
       select id, 'cancelled', service, topic, tag, key, sharding_key, published_at, waybill_now(), ? from gone
       returning message_id`,
    which.service,
    which.topic,
    value,
    because,
  )
  return rows.map((row) => row['message_id'] as MessageId)
}
