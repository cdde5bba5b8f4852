import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import type { DispositionState } from '../../core/state.ts'
import type { DueMessage, Lease, Settlement } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import type { GroupOrder } from '../sql/group-rules.ts'
import { assertFence } from './leases.ts'
import { blockedBy } from './log.ts'
import { lockOf, takeLocks } from './locks.ts'
import { messageColumns, messageParams, texts, toLogged, toParams, valuesOf } from './rows.ts'
import { takeOne } from './taken.ts'
import { endingZombies, predecessor } from './zombies.ts'

export async function markDiscarded(
  connection: MyConnection,
  lease: Lease,
  id: MessageId,
  because: string,
): Promise<void> {
  await assertFence(connection, lease)
  const { reader } = lease
  const changed = await connection.run(
    "update waybill_dispositions set state = 'discarded', because = ? where grp = ? and message_id = ? and state = 'done'",
    because,
    reader,
    id,
  )
  if (changed > 0) return
  await connection.run(
    `insert ignore into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, because, at)
     select l.reader, m.id, m.topic, m.queue, m.seq, 'discarded', m.body_hash, ?, waybill_now()
     from waybill_messages m straight_join waybill_leases l on l.reader = ? and l.topic = m.topic and l.queue = m.queue
       straight_join waybill_taken t on t.lane = l.lane and t.seq = m.seq
     where m.id = ?`,
    because,
    reader,
    id,
  )
}

/** Order is per topic: the same key in two topics is in two queues, each with its own lease (P21). */
export interface KeyOfTopic {
  readonly topic: string
  readonly shardingKey: string
}

const ofKey = 'grp = ? and topic = ? and sharding_key = ?'

/**
 * Whoever changes what stands in the way of keys, or asks for it, takes these locks first, all at once: a redrive from elsewhere and the
 * queue's own reader would each miss what the other is about to write (P21).
 */
export async function lockKeys(
  connection: MyConnection,
  keys: readonly (KeyOfTopic & { readonly group: string })[],
): Promise<void> {
  await takeLocks(
    connection,
    keys.map(({ group, topic, shardingKey }) => lockOf('key', JSON.stringify([group, topic, shardingKey]))),
  )
}

/** The key's next follower becomes due at once. Nothing to do if another head is still in the way. */
export async function releaseFollower(
  connection: MyConnection,
  group: string,
  { topic, shardingKey }: KeyOfTopic,
  order: GroupOrder,
): Promise<void> {
  const inTheWay = order.onFailure === 'skip' ? "('retrying', 'running')" : "('retrying', 'running', 'dead')"
  const key = [group, topic, shardingKey] as const
  await lockKeys(connection, [{ group, topic, shardingKey }])
  const [head] = await connection.all(
    `select message_id from waybill_dispositions where ${ofKey} and state = 'held'
       and not exists (select 1 from waybill_dispositions where ${ofKey} and state in ${inTheWay}) order by pos limit 1`,
    ...key,
    ...key,
  )
  if (!head) return
  await connection.run(
    "update waybill_dispositions set state = 'retrying', due_at = waybill_now() where grp = ? and message_id = ? and state = 'held'",
    group,
    head['message_id'],
  )
}

export async function settle(
  connection: MyConnection,
  lease: Lease,
  settlements: readonly Settlement[],
  order: GroupOrder,
): Promise<void> {
  await assertFence(connection, lease)
  // In the order of the log: whether a message is to be held depends on what became of those before it.
  const inOrder = settlements.toSorted((a, b) => a.message.position - b.message.position)
  if (order.ordered || inOrder.some(({ releaseFollower: releases }) => releases))
    await lockKeys(
      connection,
      inOrder.flatMap(({ message: { topic, shardingKey } }) =>
        shardingKey === null ? [] : [{ group: lease.reader, topic, shardingKey }],
      ),
    )
  for (const settlement of inOrder) await settleOne(connection, lease.reader, settlement, order)
}

const insertOne = `insert ignore into waybill_dispositions
  (state, attempts, sharding_key, due_at, cause, because, dependency, at, grp, message_id, topic, queue, pos, body_hash)
  values (?, ?, ?, if(?, coalesce(?, waybill_now()), null), ?, ?, ?, waybill_now(), ?, ?, ?, ?, ?, ?)`
const changeOne = `update waybill_dispositions set state = ?, attempts = ?, sharding_key = ?, due_at = if(?, coalesce(?, waybill_now()), null),
    cause = ?, because = ?, dependency = ?, at = waybill_now(), crashes = 0
  where grp = ? and message_id = ? and state in ('running', 'retrying', 'held')`

async function settleOne(
  connection: MyConnection,
  group: string,
  settlement: Settlement,
  order: GroupOrder,
): Promise<void> {
  const { message } = settlement
  const { topic, shardingKey } = message
  const state =
    settlement.state === 'held' && !(await isBlocked(connection, group, message, order))
      ? 'retrying'
      : settlement.state
  const params = [
    state,
    settlement.attempts,
    shardingKey,
    state === 'retrying',
    settlement.dueAt ?? null,
    settlement.cause ?? null,
    settlement.because ?? null,
    settlement.dependency ?? null,
    group,
    message.id,
  ] as const
  const took = await takeOne(connection, { reader: group, topic, queue: message.queue }, message)
  // Taken before, and without a disposition: it is done.
  const mayInsert = took || group.startsWith('@')
  const changed =
    (mayInsert &&
      (await connection.run(
        insertOne,
        ...params,
        topic,
        message.queue,
        message.position,
        message.bodyHash,
      ))) ||
    (await connection.run(changeOne, ...params))
  // Somebody settled it meanwhile, for good: that stands.
  if (changed === 0) return
  if (state === 'retrying' || state === 'held' || state === 'dead') await keepCopy(connection, group, message)
  else await dropCopy(connection, group, message.id)
  if (state === 'dead') await bury(connection, group, settlement)
  if (settlement.releaseFollower && shardingKey !== null)
    await releaseFollower(connection, group, { topic, shardingKey }, order)
}

export async function isBlocked(
  connection: MyConnection,
  group: string,
  message: Pick<LoggedMessage, 'topic' | 'shardingKey' | 'position'>,
  order: GroupOrder,
): Promise<boolean> {
  const [row] = await connection.all(
    `select ${blockedBy(order, '?', '?', '?')} as blocked`,
    group,
    message.topic,
    message.shardingKey,
    message.position,
  )
  return row!['blocked'] === 1
}

export async function keepCopy(
  connection: MyConnection,
  group: string,
  message: LoggedMessage,
): Promise<void> {
  await connection.run(
    `insert ignore into waybill_copies (grp, pos, ${messageColumns}) values (?, ?, ${messageParams})`,
    group,
    message.position,
    ...toParams(message, message.queue, message.source),
  )
}

export async function dropCopy(connection: MyConnection, group: string, id: MessageId): Promise<void> {
  await connection.run('delete from waybill_copies where grp = ? and id = ?', group, id)
}

export async function bury(
  connection: MyConnection,
  group: string,
  settlement: Pick<Settlement, 'message' | 'attempts' | 'cause' | 'because' | 'dependency'>,
): Promise<void> {
  const { message } = settlement
  await connection.run(
    `insert ignore into waybill_dead_letters (grp, message_id, topic, tag, msg_key, sharding_key, cause, because, attempts, generation, published_at, died_at, dependency)
     select grp, message_id, ?, ?, ?, ?, ?, ?, ?, generation, ?, waybill_now(), ? from waybill_dispositions
     where grp = ? and message_id = ?`,
    message.topic,
    message.tag,
    message.key,
    message.shardingKey,
    settlement.cause ?? 'handler.failed',
    settlement.because ?? '',
    settlement.attempts,
    message.publishedAt,
    settlement.dependency ?? null,
    group,
    message.id,
  )
}

export async function dispositions(
  connection: MyConnection,
  group: string,
  ids: readonly MessageId[],
): Promise<ReadonlyMap<MessageId, DispositionState>> {
  const known = new Map<MessageId, DispositionState>()
  // First: who takes a place and writes a disposition meanwhile commits both at once, and would otherwise pass for done.
  const taken = await connection.all(
    `select m.id from ${valuesOf('varchar(255)')} given straight_join waybill_messages m on m.id = given.value
       straight_join waybill_leases l on l.reader = ? and l.topic = m.topic and l.queue = m.queue
       straight_join waybill_taken t on t.lane = l.lane and t.seq = m.seq`,
    JSON.stringify(ids),
    group,
  )
  for (const row of taken) known.set(row['id'], 'done')
  const rows = await connection.all(
    `select message_id, state from waybill_dispositions where grp = ? and message_id in (${texts})`,
    group,
    JSON.stringify(ids),
  )
  for (const row of rows) known.set(row['message_id'], row['state'])
  return known
}

const copies = ['pos', ...messageColumns.split(', ')].map((column) => `c.${column}`).join(', ')

export async function due(
  connection: MyConnection,
  lease: Lease,
  now: number,
  limit: number,
): Promise<readonly DueMessage[]> {
  const rows = await connection.all(
    `select ${copies}, d.state, d.attempts, d.due_at from waybill_dispositions d join waybill_copies c on c.grp = d.grp and c.id = d.message_id
     where d.grp = ? and d.topic = ? and d.queue = ? and d.state in ('retrying', 'running') and d.due_at <= ? order by d.due_at, d.pos limit ?`,
    lease.reader,
    lease.topic,
    lease.queue,
    now,
    limit,
  )
  return rows.map((row) => ({
    ...toLogged(row),
    disposition: row['state'],
    attempts: row['attempts'],
    dueAt: row['due_at'],
  }))
}

/**
 * Answers how often the message was already found running: each time its process died with nothing else running (P17).
 * A run that is not alone starts one lower, so that being found counts for nothing.
 */
export async function markRunning(
  connection: MyConnection,
  lease: Lease,
  message: { id: MessageId; position: number },
  alone: boolean,
): Promise<number> {
  await assertFence(connection, lease)
  const uncounted = alone ? 0 : 1
  const found = `select state, crashes from waybill_dispositions where grp = ? and message_id = ? for update`
  let took = false
  const [known] = await endingZombies(connection, predecessor, async () => {
    took = await takeOne(connection, lease, message)
    return connection.all(found, lease.reader, message.id)
  })
  if (!known) {
    // It is done, or neither in the log nor known.
    if (!took) return 0
    await connection.run(
      `insert ignore into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, sharding_key, at, crashes)
       select ?, id, topic, queue, ?, 'running', body_hash, sharding_key, waybill_now(), ? from waybill_messages where id = ?`,
      lease.reader,
      message.position,
      -uncounted,
      message.id,
    )
    return 0
  }
  const { state, crashes } = known
  if (state !== 'running' && state !== 'retrying') return 0
  const counted = crashes + (state === 'running' ? 1 : 0)
  await connection.run(
    "update waybill_dispositions set state = 'running', crashes = ?, at = waybill_now() where grp = ? and message_id = ?",
    counted - uncounted,
    lease.reader,
    message.id,
  )
  return counted
}

/** One lower: found again, the mark counts for nothing. */
export async function excuse(connection: MyConnection, lease: Lease, id: MessageId): Promise<void> {
  await assertFence(connection, lease)
  await connection.run(
    "update waybill_dispositions set crashes = crashes - 1 where grp = ? and message_id = ? and state = 'running'",
    lease.reader,
    id,
  )
}
