import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import type { DispositionState } from '../../core/state.ts'
import type { ClaimFrom, DueMessage, Lease, Settlement } from '../../core/store.ts'
import { arrayLiteral } from './column-values.ts'
import type { PgConnection } from './connection.ts'
import type { GroupOrder } from '../sql/group-rules.ts'
import { assertFence, fenceHolds, fenceParams } from './leases.ts'
import { blockedBy } from './log.ts'
import { placeOf } from './places.ts'
import { messageColumns, messageParams, texts, toLogged, toParams } from './rows.ts'
import { runsOf, takeOne, takeRanges, whenTaken } from './taken.ts'
import { endingZombies, predecessor } from './zombies.ts'

const takeFree = `${takeRanges} on conflict do nothing returning seq_from`
// What came again after its first was dropped from the log has a disposition though its place is free.
const takeNew = `${takeRanges} and not waybill_is_known(?, (?::text)::text[]) on conflict do nothing returning seq_from`

const claimFrom = `update waybill_dispositions set state = 'done', at = waybill_now(), due_at = null, cause = null, because = null, dependency = null
  where grp = ? and message_id = any ((?::text)::text[]) and state = ? and ${fenceHolds} returning message_id`

/** Inserts the receipts, or turns the given state into one; answers the ids that it did this for (P3). */
export async function claim(
  connection: PgConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  from: ClaimFrom,
): Promise<readonly MessageId[]> {
  const once = [...new Map(messages.map((message) => [message.id, message])).values()]
  const ids =
    from === 'unclaimed'
      ? await claimFree(connection, lease, once)
      : await reclaim(connection, lease, once, from)
  if (ids.length === 0) await assertFence(connection, lease)
  return ids
}

/** All at once where nobody took any of them, or else one by one. */
async function claimFree(
  connection: PgConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
): Promise<readonly MessageId[]> {
  const runs = runsOf(messages.map(({ position }) => position))
  const landed = messages.filter(({ source }) => source !== null).map(({ id }) => id)
  const taken = await connection.all(
    landed.length === 0 ? takeFree : takeNew,
    arrayLiteral(runs.map(({ from }) => from)),
    arrayLiteral(runs.map(({ to }) => to)),
    ...fenceParams(lease),
    ...(landed.length === 0 ? [] : [lease.reader, arrayLiteral(landed)]),
  )
  if (taken.length === runs.length) return messages.map(({ id }) => id)
  const claimed = new Set(
    runs
      .filter(({ from }) => taken.some((row) => row['seq_from'] === from))
      .flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i)),
  )
  // Rather than message by message.
  await assertFence(connection, lease)
  const ids: MessageId[] = []
  for (const message of messages) {
    const isClaimed =
      claimed.has(message.position) ||
      (messages.length > 1 && (await claimFree(connection, lease, [message])).length > 0)
    if (isClaimed) ids.push(message.id)
  }
  return ids
}

async function reclaim(
  connection: PgConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  from: ClaimFrom,
): Promise<readonly MessageId[]> {
  const asked = arrayLiteral(messages.map(({ id }) => id))
  const rows = await connection.all(claimFrom, lease.reader, asked, from, ...fenceParams(lease))
  const ids = rows.map((row) => row['message_id'] as MessageId)
  // Only of what was claimed: what somebody else settled meanwhile may need its copy for a redrive.
  for (const id of ids) await dropCopy(connection, lease.reader, id)
  return ids
}

export async function markDiscarded(
  connection: PgConnection,
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
    `insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, because, at)
     select g.name, m.id, m.topic, m.queue, ${placeOf('m')}, 'discarded', waybill_digest(m.body, m.body_binary), ?, waybill_now()
     from (select ?::text as name) g, waybill_messages m where m.id = ? and ${whenTaken('g.name', 'm', placeOf('m'))} is not null`,
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

// Taken, and without a disposition: it is done.
const mayHave =
  "(exists (select 1 from took) or given.grp like '@%' or exists (select 1 from waybill_dispositions d where d.grp = given.grp and d.message_id = given.id))"

const upsert = `with took as (${takeOne})
  insert into waybill_dispositions
    (grp, message_id, topic, queue, pos, state, attempts, body_hash, sharding_key, due_at, cause, because, at, dependency)
  select grp, id, ?, ?::integer, ?::bigint, ?, ?::integer, ?, ?, case when ?::boolean then coalesce(?::bigint, waybill_now()) end, ?, ?, waybill_now(), ?
  from (select ?::text as grp, ?::text as id) given where ${mayHave}
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
    message.position,
    message.position,
    group,
    topic,
    message.queue,
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
    group,
    message.id,
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
  const known = new Map<MessageId, DispositionState>()
  // First: who takes a place and writes a disposition meanwhile commits both at once, and would otherwise pass for done.
  const taken = await connection.all(
    `select m.id from (select ?::text as name) g, (${texts}) j(id) cross join lateral (select id, topic, queue, pos from waybill_messages where id = j.id offset 0) m
     where ${whenTaken('g.name', 'm', placeOf('m'))} is not null`,
    group,
    JSON.stringify(ids),
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
      `with took as (${takeOne})
     insert into waybill_dispositions as d (grp, message_id, topic, queue, pos, state, body_hash, sharding_key, at, crashes)
     select given.grp, id, topic, queue, ?::bigint, 'running', waybill_digest(body, body_binary), sharding_key, waybill_now(), -(?::integer)
     from (select ?::text as grp, * from waybill_messages where id = ?) given where ${mayHave}
     on conflict (grp, message_id) do update set state = 'running', crashes = d.crashes + (d.state = 'running')::integer - ?::integer, at = excluded.at
     where d.state in ('running', 'retrying') returning d.crashes`,
      message.position,
      message.position,
      lease.reader,
      lease.topic,
      lease.queue,
      message.position,
      uncounted,
      lease.reader,
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
