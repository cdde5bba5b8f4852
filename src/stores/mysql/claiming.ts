import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { LoggedMessage } from '../../core/message.ts'
import type { ClaimFrom, Lease } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import { dropCopy } from './dispositions.ts'
import { assertFence, fenceHolds, fenceParams } from './leases.ts'
import { rowsOf, texts, valuesOf } from './rows.ts'

/** Messages as they were read, where the log has them still. */
const inLog = `${rowsOf('seq bigint', 'id varchar(255)')} given
    straight_join waybill_messages m force index (by_sequence) on m.topic = l.topic and m.queue = l.queue and m.seq = given.seq and m.id = given.id`

const ofLease = 'l.reader = ? and l.topic = ? and l.queue = ? and l.owner = ? and l.fence = ?'
const take = 'insert ignore into waybill_taken (lane, seq, token, at)'

// Where the first and the last are, all are: a log that is put back loses its end, what was in it without a place gets one in the order
// of positions, and what was published here comes under its id once. Asked for each, it would cost a fifth of a drain.
const takeFree = `${take} select l.lane, given.value, ?, waybill_now() from waybill_leases l
    straight_join waybill_messages a on a.topic = l.topic and a.queue = l.queue and a.seq = ? and a.id = ?
    straight_join waybill_messages z on z.topic = l.topic and z.queue = l.queue and z.seq = ? and z.id = ?
    straight_join ${valuesOf('bigint')} given
  where ${ofLease} order by given.value`
// What came again after its first was dropped from the log has a disposition though its place is free.
const takeNew = `${take} select l.lane, m.seq, ?, waybill_now() from waybill_leases l straight_join ${inLog}
  where ${ofLease} and not exists (select 1 from waybill_dispositions d where d.grp = l.reader and d.message_id = given.id)
  order by given.ord`
const countInLog = `select count(*) as n from waybill_leases l straight_join ${inLog} where l.reader = ? and l.topic = ? and l.queue = ?`
const takenByClaim = `select t.seq from waybill_leases l straight_join ${valuesOf('bigint')} given
    straight_join waybill_taken t on t.lane = l.lane and t.seq = given.value
  where l.reader = ? and l.topic = ? and l.queue = ? and t.token = ?`

/**
 * Inserts the receipts, or turns the given state into one; answers the ids that it did this for (P3). There is no RETURNING, so where
 * not all were free a token tells which ones were; it differs for each claim.
 */
export async function claim(
  connection: MyConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  from: ClaimFrom,
  token: number,
): Promise<readonly MessageId[]> {
  const once = [...new Map(messages.map((message) => [message.id, message])).values()]
  const ids =
    from === 'unclaimed'
      ? await claimFree(connection, lease, once, token)
      : await claimFrom(connection, lease, once, from)
  if (ids.length === 0) await assertFence(connection, lease)
  return ids
}

async function claimFree(
  connection: MyConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  token: number,
): Promise<readonly MessageId[]> {
  if (messages.length === 0) return []
  const { reader, topic, queue } = lease
  const isLocal = messages.every(({ source }) => source === null)
  const inserted = isLocal
    ? await takeLocal(connection, lease, messages, token)
    : await connection.run(takeNew, token, asRead(messages), ...fenceParams(lease))
  if (inserted === messages.length) return messages.map(({ id }) => id)
  const [found] = await connection.all(countInLog, asRead(messages), reader, topic, queue)
  if (found!['n'] !== messages.length) throw noLongerInLog(lease)
  if (inserted === 0) return []
  const places = JSON.stringify(messages.map(({ position }) => position))
  const rows = await connection.all(takenByClaim, places, reader, topic, queue, token)
  const claimed = new Set(rows.map((row) => row['seq'] as number))
  return messages.filter(({ position }) => claimed.has(position)).map(({ id }) => id)
}

/** For `inLog`. */
function asRead(messages: readonly LoggedMessage[]): string {
  return JSON.stringify(messages.map(({ id, position }) => [position, id]))
}

function takeLocal(
  connection: MyConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  token: number,
): Promise<number> {
  const inOrder = messages.toSorted((a, b) => a.position - b.position)
  const [first, last] = [inOrder[0]!, inOrder.at(-1)!]
  const places = JSON.stringify(inOrder.map(({ position }) => position))
  return connection.run(
    takeFree,
    token,
    first.position,
    first.id,
    last.position,
    last.id,
    places,
    ...fenceParams(lease),
  )
}

/** The lease still holds where nobody has noticed it yet. */
function noLongerInLog({ reader, topic, queue, fence }: Lease): WaybillError {
  return new WaybillError(
    'store.lease-lost',
    `what ${reader} had read of ${topic}/${queue} is not in the log any more, so the database was put back to an older state; nothing was written`,
    { reader, topic, queue, fence },
  )
}

async function claimFrom(
  connection: MyConnection,
  lease: Lease,
  messages: readonly LoggedMessage[],
  from: ClaimFrom,
): Promise<readonly MessageId[]> {
  const rows = await connection.all(
    `select message_id from waybill_dispositions where grp = ? and message_id in (${texts}) and state = ? for update`,
    lease.reader,
    JSON.stringify(messages.map(({ id }) => id)),
    from,
  )
  const turned: MessageId[] = []
  for (const { message_id: id } of rows) {
    const matched = await connection.run(
      `update waybill_dispositions set state = 'done', at = waybill_now(), due_at = null, cause = null, because = null, dependency = null
       where grp = ? and message_id = ? and state = ? and ${fenceHolds}`,
      lease.reader,
      id,
      from,
      ...fenceParams(lease),
    )
    if (matched === 0) continue
    // Only of what was claimed: what somebody else settled meanwhile may need its copy for a redrive.
    await dropCopy(connection, lease.reader, id)
    turned.push(id)
  }
  return turned
}
