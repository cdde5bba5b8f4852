import type { DelayedKey } from '../../core/delayed.ts'
import type { MessageId } from '../../core/ids.ts'
import type { Lease } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { assertFence } from './leases.ts'
import { lockOf, takeLocks } from './locks.ts'
import { messageColumns, unlocked, valuesOf } from './rows.ts'

/**
 * Moves what is due into the log, by (due, position): insert and delete in one transaction under the lease, so that a due message
 * enters the log once however many instances there are. Waits for locked ones, since skipping them would change the order (P22).
 */
export async function moveDue(
  connection: MyConnection,
  lease: Lease,
  now: number,
  limit: number,
): Promise<number> {
  await assertFence(connection, lease)
  // Movers take turns: what one looked up the other would be taking away.
  await takeLocks(connection, [lockOf('due', `${lease.topic}/${lease.queue}`)])
  const candidates = await connection.all(
    'select pos from waybill_delayed where topic = ? and queue = ? and eligible_at <= ? order by eligible_at, pos limit ?',
    lease.topic,
    lease.queue,
    now,
    limit,
  )
  const due = await lockDelayed(connection, candidates)
  if (due.length === 0) return 0
  const listed = JSON.stringify(due.map((row) => row['pos']))
  await connection.run(
    `insert into waybill_messages (${messageColumns}) select ${columnsOf('d')}
     from ${given} straight_join waybill_delayed d on d.pos = given.value order by d.eligible_at, d.pos`,
    listed,
  )
  return connection.run(
    `delete d from ${given} straight_join waybill_delayed d on d.pos = given.value`,
    listed,
  )
}

/**
 * Those that are still there, by their primary key alone: a locking read over another index takes that first, and meets whoever
 * deletes the row and goes the other way.
 */
async function lockDelayed(
  connection: MyConnection,
  candidates: readonly MyRow[],
): Promise<readonly MyRow[]> {
  if (candidates.length === 0) return []
  return connection.all(
    `select d.* from ${given} straight_join waybill_delayed d on d.pos = given.value order by d.pos for update`,
    JSON.stringify(candidates.map((row) => row['pos'] as number).toSorted((a, b) => a - b)),
  )
}

const given = `${unlocked(valuesOf('bigint'))} given`

function columnsOf(table: string): string {
  return messageColumns.replaceAll(/\w+/g, (column) => `${table}.${column}`)
}

/** Answers the ids that were still waiting and are now cancelled: whoever is not among them was too late (P22). */
export async function cancelDelayed(
  connection: MyConnection,
  which: DelayedKey,
  because: string,
): Promise<readonly MessageId[]> {
  const [column, value] = 'id' in which ? (['id', which.id] as const) : (['msg_key', which.key] as const)
  const matching = `from waybill_delayed where service = ? and topic = ? and ${column} = ?`
  const params = [which.service, which.topic, value] as const
  let gone = await lockDelayed(connection, await connection.all(`select pos ${matching}`, ...params))
  // The user's transaction may look at an older moment.
  if (gone.length === 0) gone = await connection.all(`select * ${matching} for update`, ...params)
  for (const row of gone) {
    await connection.run('delete from waybill_delayed where pos = ?', row['pos'])
    await end(connection, row, because)
  }
  return gone.map((row) => row['id'] as MessageId)
}

async function end(connection: MyConnection, row: MyRow, because: string): Promise<void> {
  await connection.run(
    `insert into waybill_ended (message_id, state, service, topic, tag, msg_key, sharding_key, published_at, at, because)
     values (?, 'cancelled', ?, ?, ?, ?, ?, ?, waybill_now(), ?)`,
    row['id'],
    row['service'],
    row['topic'],
    row['tag'],
    row['msg_key'],
    row['sharding_key'],
    row['published_at'],
    because,
  )
}
