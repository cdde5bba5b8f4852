import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import type { DispositionState } from '../../core/state.ts'
import type { ClaimFrom, DueMessage, Lease, Settlement } from '../../core/store.ts'
import { arrayLiteral } from './column-values.ts'
import type { PgConnection } from './connection.ts'
import type { PgRow, PgValue } from './driver.ts'
import { isDuplicateKey } from './errors.ts'
import type { GroupOrder } from '../sql/group-rules.ts'
import { assertFence, fenceHolds, fenceParams } from './leases.ts'
import { blockedBy } from './log.ts'
import { messageColumns, messageParams, texts, toLogged, toParams } from './rows.ts'
import { endingZombies, predecessor } from './zombies.ts'

const claimed = "select ?, given.id, ?, ?::integer, given.pos, 'done', given.body_hash, now.at"
const given = `(select waybill_now() as at offset 0) now,
  unnest((?::text)::text[], (?::text)::bigint[], (?::text)::text[]) as given(id, pos, body_hash)`

// Without `on conflict`, which writes each row twice. Whoever claims at the same time is waited for, and then this one is run again.
const claimFree = `insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, at)
  ${claimed} from ${given} where ${fenceHolds}
    and (select 1 from waybill_dispositions d where d.grp = ? and d.message_id = given.id) is null returning message_id`

const claimFrom = `insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, at)
  ${claimed} from ${given} where ${fenceHolds}
  on conflict (grp, message_id) do update set state = 'done', at = excluded.at, due_at = null, cause = null, because = null, dependency = null
  where waybill_dispositions.state = ? returning message_id`

/** Inserts the receipts, or turns the given state into one; answers the ids that it did this for (P3). */
export async function claim(
  connection: PgConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  from: ClaimFrom,
): Promise<readonly MessageId[]> {
  const { reader, topic, queue } = lease
  const once = [...new Map(messages.map((message) => [message.id, message])).values()]
  const rows = await taking(
    connection,
    from === 'unclaimed' ? claimFree : claimFrom,
    reader,
    topic,
    queue,
    arrayLiteral(once.map((message) => message.id)),
    arrayLiteral(once.map((message) => message.position)),
    arrayLiteral(once.map((message) => message.bodyHash)),
    ...fenceParams(lease),
    from === 'unclaimed' ? reader : from,
  )
  if (rows.length === 0) await assertFence(connection, lease)
  const ids = rows.map((row) => row['message_id'] as MessageId)
  // Only of what was claimed: what somebody else settled meanwhile may need its copy for a redrive.
  if (from !== 'unclaimed') for (const id of ids) await dropCopy(connection, reader, id)
  return ids
}

async function taking(
  connection: PgConnection,
  sql: string,
  ...params: readonly PgValue[]
): Promise<readonly PgRow[]> {
  try {
    return await connection.all(sql, ...params)
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    throw new WaybillError(
      'store.busy',
      'another instance claimed the same message at the same time; it is tried again',
      {},
      { cause: error },
    )
  }
}

export async function markDiscarded(
  connection: PgConnection,
  lease: Lease,
  id: MessageId,
  because: string,
): Promise<void> {
  await assertFence(connection, lease)
  await connection.run(
    "update waybill_dispositions set state = 'discarded', because = ? where grp = ? and message_id = ? and state = 'done'",
    because,
    lease.reader,
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
 * Whoever changes what stands in the way of a key, or asks for it, takes this lock first: a redrive from elsewhere and the queue's
 * own reader would each miss what the other is about to write (P21).
 */
export async function lockKey(
  connection: PgConnection,
  group: string,
  { topic, shardingKey }: KeyOfTopic,
): Promise<void> {
  await connection.all(
    'select pg_advisory_xact_lock(hashtextextended(?, 7261847005))',
    JSON.stringify([group, topic, shardingKey]),
  )
}

/** The key's next follower becomes due at once. Nothing to do if another head is still in the way. */
export async function releaseFollower(
  connection: PgConnection,
  group: string,
  { topic, shardingKey }: KeyOfTopic,
  order: GroupOrder,
): Promise<void> {
  const inTheWay = order.onFailure === 'skip' ? "('retrying', 'running')" : "('retrying', 'running', 'dead')"
  const key = [group, topic, shardingKey] as const
  await lockKey(connection, group, { topic, shardingKey })
  await connection.run(
    `update waybill_dispositions set state = 'retrying', due_at = waybill_now() where ${ofKey} and state = 'held'
       and pos = (select min(pos) from waybill_dispositions where ${ofKey} and state = 'held')
       and not exists (select 1 from waybill_dispositions where ${ofKey} and state in ${inTheWay})`,
    ...key,
    ...key,
    ...key,
  )
}

export async function settle(
  connection: PgConnection,
  lease: Lease,
  settlements: readonly Settlement[],
  order: GroupOrder,
): Promise<void> {
  await assertFence(connection, lease)
  // In the order of the log: whether a message is to be held depends on what became of those before it.
  const inOrder = settlements.toSorted((a, b) => a.message.position - b.message.position)
  for (const settlement of inOrder) await settleOne(connection, lease.reader, settlement, order)
}

const upsert = `insert into waybill_dispositions
  (grp, message_id, topic, queue, pos, state, attempts, body_hash, sharding_key, due_at, cause, because, at, dependency)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, case when ?::boolean then coalesce(?::bigint, waybill_now()) end, ?, ?, waybill_now(), ?)
  on conflict (grp, message_id) do update set state = excluded.state, attempts = excluded.attempts, sharding_key = excluded.sharding_key,
    due_at = excluded.due_at, cause = excluded.cause, because = excluded.because, at = excluded.at, dependency = excluded.dependency, crashes = 0
  where waybill_dispositions.state in ('running', 'retrying', 'held')`

async function settleOne(
  connection: PgConnection,
  group: string,
  settlement: Settlement,
  order: GroupOrder,
): Promise<void> {
  const { message } = settlement
  const { topic, shardingKey } = message
  if (order.ordered && shardingKey !== null) await lockKey(connection, group, { topic, shardingKey })
  const state =
    settlement.state === 'held' && !(await isBlocked(connection, group, message, order))
      ? 'retrying'
      : settlement.state
  const changed = await connection.run(
    upsert,
    group,
    message.id,
    topic,
    message.queue,
    message.position,
    state,
    settlement.attempts,
    message.bodyHash,
    shardingKey,
    state === 'retrying',
    settlement.dueAt ?? null,
    settlement.cause ?? null,
    settlement.because ?? null,
    settlement.dependency ?? null,
  )
  // Somebody settled it meanwhile, for good: that stands.
  if (changed === 0) return
  if (state === 'retrying' || state === 'held' || state === 'dead') await keepCopy(connection, group, message)
  else await dropCopy(connection, group, message.id)
  if (state === 'dead') await bury(connection, group, settlement)
  if (settlement.releaseFollower && shardingKey !== null)
    await releaseFollower(connection, group, { topic, shardingKey }, order)
}

export async function isBlocked(
  connection: PgConnection,
  group: string,
  message: Pick<LoggedMessage, 'topic' | 'shardingKey' | 'position'>,
  order: GroupOrder,
): Promise<boolean> {
  const sql = `select ${blockedBy(order, 'x')} as blocked from (select ?::text as topic, ?::text as sharding_key, ?::bigint as seq) x`
  const [row] = await connection.all(sql, group, message.topic, message.shardingKey, message.position)
  return row!['blocked'] === true
}

export async function keepCopy(
  connection: PgConnection,
  group: string,
  message: LoggedMessage,
): Promise<void> {
  await connection.run(
    `insert into waybill_copies (grp, pos, ${messageColumns}) values (?, ?, ${messageParams}) on conflict do nothing`,
    group,
    message.position,
    ...toParams(message, message.queue, message.source),
  )
}

export async function dropCopy(connection: PgConnection, group: string, id: MessageId): Promise<void> {
  await connection.run('delete from waybill_copies where grp = ? and id = ?', group, id)
}

export async function bury(
  connection: PgConnection,
  group: string,
  settlement: Pick<Settlement, 'message' | 'attempts' | 'cause' | 'because' | 'dependency'>,
): Promise<void> {
  const { message } = settlement
  await connection.run(
    `insert into waybill_dead_letters (grp, message_id, topic, tag, key, sharding_key, cause, because, attempts, generation, published_at, died_at, dependency)
     select grp, message_id, ?, ?, ?, ?, ?, ?, ?::integer, generation, ?::bigint, waybill_now(), ? from waybill_dispositions
     where grp = ? and message_id = ? on conflict do nothing`,
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
  connection: PgConnection,
  group: string,
  ids: readonly MessageId[],
): Promise<ReadonlyMap<MessageId, DispositionState>> {
  const rows = await connection.all(
    `select message_id, state from waybill_dispositions where grp = ? and message_id in (${texts})`,
    group,
    JSON.stringify(ids),
  )
  return new Map(rows.map((row) => [row['message_id'] as MessageId, row['state'] as DispositionState]))
}

const copies = ['pos', ...messageColumns.split(', ')].map((column) => `c.${column}`).join(', ')

export async function due(
  connection: PgConnection,
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
  connection: PgConnection,
  lease: Lease,
  message: { id: MessageId; position: number },
  alone: boolean,
): Promise<number> {
  await assertFence(connection, lease)
  const uncounted = alone ? 0 : 1
  const [row] = await endingZombies(connection, predecessor, () =>
    connection.all(
      `insert into waybill_dispositions as d (grp, message_id, topic, queue, pos, state, body_hash, sharding_key, at, crashes)
     select ?, id, topic, queue, ?::bigint, 'running', body_hash, sharding_key, waybill_now(), -(?::integer) from waybill_messages where id = ?
     on conflict (grp, message_id) do update set state = 'running', crashes = d.crashes + (d.state = 'running')::integer - ?::integer, at = excluded.at
     where d.state in ('running', 'retrying') returning d.crashes`,
      lease.reader,
      message.position,
      uncounted,
      message.id,
      uncounted,
    ),
  )
  if (row) return (row['crashes'] as number) + uncounted
  // A retried message whose log row is purged: only its copy is left.
  const [copied] = await connection.all(
    `update waybill_dispositions set state = 'running', crashes = crashes + (state = 'running')::integer - ?::integer, at = waybill_now()
     where grp = ? and message_id = ? and state in ('running', 'retrying') returning crashes`,
    uncounted,
    lease.reader,
    message.id,
  )
  return copied ? (copied['crashes'] as number) + uncounted : 0
}

/** One lower: found again, the mark counts for nothing. */
export async function excuse(connection: PgConnection, lease: Lease, id: MessageId): Promise<void> {
  await assertFence(connection, lease)
  await connection.run(
    "update waybill_dispositions set crashes = crashes - 1 where grp = ? and message_id = ? and state = 'running'",
    lease.reader,
    id,
  )
}
