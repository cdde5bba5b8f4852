import type { MessageId } from '../../core/ids.ts'
import type { AuditNote, DeadLetter, DeadLetterFilter, DeadLetterKey } from '../../core/store.ts'
import { audit } from './audit.ts'
import type { SqlConnection } from './connection.ts'
import {
  type SelectedLetter,
  eachOnce,
  refuseCollisions,
  toDeadLetter,
  toSelected,
  whereOf,
} from './dead-letter-rows.ts'
import { type GroupOrder, unordered } from './group-rules.ts'
import { orderOf } from './groups.ts'
import { limitOf } from './limit.ts'

/** Order is per topic: the same key in two topics is in two queues, each with its own lease (P21). */
export interface KeyOfTopic {
  readonly topic: string
  readonly shardingKey: string
}

/** What each store does with dispositions in its own way. */
export interface Dispositions<C extends SqlConnection> {
  /**
   * Whoever changes what stands in the way of keys, or asks for it, takes these locks first: a redrive from elsewhere and the queue's
   * own reader would each miss what the other is about to write (P21).
   */
  lockKeys(connection: C, keys: readonly (KeyOfTopic & { readonly group: string })[]): Promise<void>
  isBlocked(connection: C, group: string, message: SelectedLetter, order: GroupOrder): Promise<boolean>
  releaseFollower(connection: C, group: string, key: KeyOfTopic, order: GroupOrder): Promise<void>
  dropCopy(connection: C, group: string, id: MessageId): Promise<void>
}

export async function listDeadLetters(
  connection: SqlConnection,
  filter: DeadLetterFilter,
): Promise<readonly DeadLetter[]> {
  const { names } = connection.dialect
  const { clause, params } = whereOf(filter, names)
  const rows = await connection.all(
    `select * from waybill_dead_letters ${clause} order by died_at, message_id limit ?`,
    ...params,
    limitOf(filter),
  )
  return rows.map((row) => toDeadLetter(row, names))
}

export async function redrive<C extends SqlConnection>(
  connection: C,
  dispositions: Dispositions<C>,
  selection: readonly DeadLetterKey[],
  note: AuditNote,
): Promise<number> {
  let count = 0
  refuseCollisions(selection)
  const selected = await inLogOrder(connection, selection)
  const orders = await ordersOf(connection, selected)
  const keyed = selected.flatMap(({ group, topic, shardingKey }) =>
    orders.get(group)!.ordered && shardingKey !== null ? [{ group, topic, shardingKey }] : [],
  )
  await dispositions.lockKeys(connection, keyed)
  for (const letter of selected) {
    const { group, id } = letter
    // Behind an earlier one of its key it waits, or both would be due at once and a failure of the first would let it pass (P21).
    const order = orders.get(group)!
    const waits = order.ordered && (await dispositions.isBlocked(connection, group, letter, order))
    const changed = await connection.run(
      `update waybill_dispositions set state = ?, due_at = ${waits ? 'null' : 'waybill_now()'}, attempts = 0,
         generation = generation + 1, cause = null, because = null, dependency = null, at = waybill_now()
       where grp = ? and message_id = ? and state = 'dead'`,
      waits ? 'held' : 'retrying',
      group,
      id,
    )
    if (changed === 0) continue
    await connection.run('delete from waybill_dead_letters where grp = ? and message_id = ?', group, id)
    await audit(connection, 'redrive', { group, id }, note)
    count++
  }
  return count
}

export async function discardDead<C extends SqlConnection>(
  connection: C,
  dispositions: Dispositions<C>,
  selection: readonly DeadLetterKey[],
  note: AuditNote,
): Promise<number> {
  let count = 0
  for (const { group, id } of selection) {
    const [row] = await connection.all(
      "select topic, sharding_key from waybill_dispositions where grp = ? and message_id = ? and state = 'dead' for update",
      group,
      id,
    )
    if (!row) continue
    await connection.run(
      "update waybill_dispositions set state = 'discarded', because = ?, at = waybill_now() where grp = ? and message_id = ?",
      note.because,
      group,
      id,
    )
    await connection.run('delete from waybill_dead_letters where grp = ? and message_id = ?', group, id)
    await dispositions.dropCopy(connection, group, id)
    const shardingKey = row['sharding_key'] as string | null
    if (shardingKey !== null)
      await dispositions.releaseFollower(
        connection,
        group,
        { topic: row['topic'], shardingKey },
        (await orderOf(connection, group)) ?? unordered,
      )
    await audit(connection, 'discard', { group, id }, note)
    count++
  }
  return count
}

async function ordersOf(
  connection: SqlConnection,
  selected: readonly SelectedLetter[],
): Promise<ReadonlyMap<string, GroupOrder>> {
  const orders = new Map<string, GroupOrder>()
  for (const group of new Set(selected.map((letter) => letter.group)))
    orders.set(group, (await orderOf(connection, group)) ?? unordered)
  return orders
}

async function inLogOrder(
  connection: SqlConnection,
  selection: readonly DeadLetterKey[],
): Promise<readonly SelectedLetter[]> {
  if (selection.length === 0) return []
  const { join, rowsOf } = connection.dialect
  const rows = await connection.all(
    `select d.grp, d.message_id, d.topic, d.sharding_key, d.pos from ${rowsOf({ grp: 'text', id: 'text' })} s
     ${join} waybill_dispositions d on d.grp = s.grp and d.message_id = s.id and d.state = 'dead' order by d.pos, d.grp`,
    JSON.stringify(eachOnce(selection).map(({ group, id }) => [group, id])),
  )
  return rows.map(toSelected)
}
