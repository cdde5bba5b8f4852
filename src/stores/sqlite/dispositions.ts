import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import type { DispositionState } from '../../core/state.ts'
import type { ClaimFrom, DueMessage, Lease, Settlement } from '../../core/store.ts'
import type { SqliteConnection } from './driver.ts'
import type { GroupOrder } from '../sql/group-rules.ts'
import { assertFence, fenceHolds, fenceParams } from './leases.ts'
import { blockedBy } from './log.ts'
import { messageColumns, toLogged, toParams } from './rows.ts'

const receiptColumns = 'grp, message_id, topic, queue, pos, state, body_hash, sharding_key, at'
const takeOver =
  "on conflict do update set state = 'done', at = excluded.at, due_at = null, cause = null, because = null where waybill_dispositions.state = ?"
const claimOne = `insert into waybill_dispositions (${receiptColumns}) select ?, ?, ?, ?, ?, 'done', ?, null, ? where ${fenceHolds} ${takeOver} returning message_id`
const claimMany = `insert into waybill_dispositions (${receiptColumns})
  select ?, value ->> 0, ?, ?, value ->> 1, 'done', value ->> 2, null, ? from json_each(?) where ${fenceHolds} ${takeOver} returning message_id`

/** Inserts the receipts, or turns the given state into one; answers the ids that it did this for (P3). */
export function claim(
  connection: SqliteConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  from: ClaimFrom,
  now: number,
): readonly MessageId[] {
  const { reader, topic, queue } = lease
  const only = messages.length === 1 ? messages[0]! : undefined
  const rows = only
    ? connection.lists(
        claimOne,
        reader,
        only.id,
        topic,
        queue,
        only.position,
        only.bodyHash,
        now,
        ...fenceParams(lease),
        from,
      )
    : connection.lists(
        claimMany,
        reader,
        topic,
        queue,
        now,
        JSON.stringify(messages.map((message) => [message.id, message.position, message.bodyHash])),
        ...fenceParams(lease),
        from,
      )
  if (rows.length === 0) assertFence(connection, lease)
  const claimed = rows.map((row) => row[0] as MessageId)
  // Only of what was claimed: what somebody else settled meanwhile may need its copy for a redrive.
  if (from !== 'unclaimed') for (const id of claimed) dropCopy(connection, reader, id)
  return claimed
}

export function markDiscarded(
  connection: SqliteConnection,
  lease: Lease,
  id: MessageId,
  because: string,
): void {
  assertFence(connection, lease)
  connection.run(
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

/** The key's next follower becomes due at once. Nothing to do if another head is still in the way. */
export function releaseFollower(
  connection: SqliteConnection,
  group: string,
  { topic, shardingKey }: KeyOfTopic,
  order: GroupOrder,
  now: number,
): void {
  const inTheWay = order.onFailure === 'skip' ? "('retrying', 'running')" : "('retrying', 'running', 'dead')"
  const key = [group, topic, shardingKey] as const
  connection.run(
    `update waybill_dispositions set state = 'retrying', due_at = ? where ${ofKey} and state = 'held'
       and pos = (select min(pos) from waybill_dispositions where ${ofKey} and state = 'held')
       and not exists (select 1 from waybill_dispositions where ${ofKey} and state in ${inTheWay})`,
    now,
    ...key,
    ...key,
    ...key,
  )
}

export function settle(
  connection: SqliteConnection,
  lease: Lease,
  settlements: readonly Settlement[],
  order: GroupOrder,
  now: number,
): void {
  assertFence(connection, lease)
  // In the order of the log: whether a message is to be held depends on what became of those before it.
  const inOrder = settlements.toSorted((a, b) => a.message.position - b.message.position)
  for (const settlement of inOrder) settleOne(connection, lease.reader, settlement, order, now)
}

const upsert = `insert into waybill_dispositions
  (grp, message_id, topic, queue, pos, state, attempts, body_hash, sharding_key, due_at, cause, because, at, dependency) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  on conflict do update set state = excluded.state, attempts = excluded.attempts, sharding_key = excluded.sharding_key, due_at = excluded.due_at,
    cause = excluded.cause, because = excluded.because, at = excluded.at, dependency = excluded.dependency, crashes = 0
  where waybill_dispositions.state in ('running', 'retrying', 'held')`

function settleOne(
  connection: SqliteConnection,
  group: string,
  settlement: Settlement,
  order: GroupOrder,
  now: number,
): void {
  const { message } = settlement
  const state =
    settlement.state === 'held' && !isBlocked(connection, group, message, order)
      ? 'retrying'
      : settlement.state
  const dueAt = state === 'retrying' ? (settlement.dueAt ?? now) : null
  const changed = connection.run(
    upsert,
    group,
    message.id,
    message.topic,
    message.queue,
    message.position,
    state,
    settlement.attempts,
    message.bodyHash,
    message.shardingKey,
    dueAt,
    settlement.cause ?? null,
    settlement.because ?? null,
    now,
    settlement.dependency ?? null,
  )
  // Somebody settled it meanwhile, for good: that stands.
  if (changed === 0) return
  if (state === 'retrying' || state === 'held' || state === 'dead') keepCopy(connection, group, message)
  else dropCopy(connection, group, message.id)
  if (state === 'dead') bury(connection, group, settlement, now)
  const { topic, shardingKey } = message
  if (settlement.releaseFollower && shardingKey !== null)
    releaseFollower(connection, group, { topic, shardingKey }, order, now)
}

export function isBlocked(
  connection: SqliteConnection,
  group: string,
  message: Pick<LoggedMessage, 'topic' | 'shardingKey' | 'position'>,
  order: GroupOrder,
): boolean {
  const sql = `select ${blockedBy(order, 'x')} as blocked from (select ? as topic, ? as sharding_key, ? as pos) x`
  return connection.all(sql, group, message.topic, message.shardingKey, message.position)[0]!['blocked'] === 1
}

export function keepCopy(connection: SqliteConnection, group: string, message: LoggedMessage): void {
  connection.run(
    `insert into waybill_copies (grp, pos, ${messageColumns.replace('id,', 'message_id,')}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing`,
    group,
    message.position,
    ...toParams(message, message.queue, message.source),
  )
}

export function dropCopy(connection: SqliteConnection, group: string, id: MessageId): void {
  connection.run('delete from waybill_copies where grp = ? and message_id = ?', group, id)
}

export function bury(
  connection: SqliteConnection,
  group: string,
  settlement: Pick<Settlement, 'message' | 'attempts' | 'cause' | 'because' | 'dependency'>,
  now: number,
): void {
  const { message } = settlement
  connection.run(
    `insert into waybill_dead_letters (grp, message_id, topic, tag, key, sharding_key, cause, because, attempts, generation, published_at, died_at, dependency)
     select grp, message_id, ?, ?, ?, ?, ?, ?, ?, generation, ?, ?, ? from waybill_dispositions where grp = ? and message_id = ? on conflict do nothing`,
    message.topic,
    message.tag,
    message.key,
    message.shardingKey,
    settlement.cause ?? 'handler.failed',
    settlement.because ?? '',
    settlement.attempts,
    message.publishedAt,
    now,
    settlement.dependency ?? null,
    group,
    message.id,
  )
}

export function dispositions(
  connection: SqliteConnection,
  group: string,
  ids: readonly MessageId[],
): ReadonlyMap<MessageId, DispositionState> {
  const rows = connection.all(
    'select message_id, state from waybill_dispositions where grp = ? and message_id in (select value from json_each(?))',
    group,
    JSON.stringify(ids),
  )
  return new Map(rows.map((row) => [row['message_id'] as MessageId, row['state'] as DispositionState]))
}

const copies =
  'c.pos, c.message_id as id, c.service, c.topic, c.queue, c.tag, c.key, c.sharding_key, c.headers, c.body, c.body_hash, c.published_at, c.eligible_at, c.source, c.source_queue, c.source_pos'

export function due(
  connection: SqliteConnection,
  lease: Lease,
  now: number,
  limit: number,
): readonly DueMessage[] {
  return connection
    .all(
      `select ${copies}, d.state, d.attempts, d.due_at from waybill_dispositions d join waybill_copies c on c.grp = d.grp and c.message_id = d.message_id
       where d.grp = ? and d.topic = ? and d.queue = ? and d.state in ('retrying', 'running') and d.due_at <= ? order by d.due_at, d.pos limit ?`,
      lease.reader,
      lease.topic,
      lease.queue,
      now,
      limit,
    )
    .map((row) => ({
      ...toLogged(row),
      disposition: row['state'] as 'retrying' | 'running',
      attempts: row['attempts'] as number,
      dueAt: row['due_at'] as number,
    }))
}

/**
 * Answers how often the message was already found running: each time its process died with nothing else running (P17).
 * A run that is not alone starts one lower, so that being found counts for nothing.
 */
export function markRunning(
  connection: SqliteConnection,
  lease: Lease,
  message: { id: MessageId; position: number },
  alone: boolean,
  now: number,
): number {
  assertFence(connection, lease)
  const uncounted = alone ? 0 : 1
  const row = connection.all(
    `insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, sharding_key, at, crashes)
     select ?, id, topic, queue, pos, 'running', body_hash, sharding_key, ?, -? from waybill_messages where pos = ? and id = ?
     on conflict do update set state = 'running', crashes = crashes + (state = 'running') - ?, at = excluded.at where state in ('running', 'retrying')
     returning crashes`,
    lease.reader,
    now,
    uncounted,
    message.position,
    message.id,
    uncounted,
  )[0]
  if (row) return (row['crashes'] as number) + uncounted
  // A retried message whose log row is purged: only its copy is left.
  const copied = connection.all(
    "update waybill_dispositions set state = 'running', crashes = crashes + (state = 'running') - ?, at = ? where grp = ? and message_id = ? and state in ('running', 'retrying') returning crashes",
    uncounted,
    now,
    lease.reader,
    message.id,
  )[0]
  return copied ? (copied['crashes'] as number) + uncounted : 0
}

/** One lower: found again, the mark counts for nothing. */
export function excuse(connection: SqliteConnection, lease: Lease, id: MessageId): void {
  assertFence(connection, lease)
  connection.run(
    "update waybill_dispositions set crashes = crashes - 1 where grp = ? and message_id = ? and state = 'running'",
    lease.reader,
    id,
  )
}
