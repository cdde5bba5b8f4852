import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { AuditNote, DeadLetter, DeadLetterFilter, DeadLetterKey } from '../../core/store.ts'
import { audit } from './audit.ts'
import type { MyConnection } from './connection.ts'
import { dropCopy, isBlocked, lockKeys, releaseFollower } from './dispositions.ts'
import type { MyValue } from './driver.ts'
import { landingGroup, orderOf, unordered } from './groups.ts'
import { rowsOf } from './rows.ts'

const limitDefault = 100
const limitMax = 1_000

/** The `where` of a filter, or nothing where it leaves nothing out. The limit is not part of it. */
export function whereOf(filter: DeadLetterFilter): {
  readonly clause: string
  readonly params: readonly MyValue[]
} {
  const where: string[] = []
  const params: MyValue[] = []
  const add = (condition: string, value: MyValue | undefined): void => {
    if (value === undefined) return
    where.push(condition)
    params.push(value)
  }
  add('grp = ?', filter.group)
  add('topic = ?', filter.topic)
  add('msg_key = ?', filter.key)
  add('message_id = ?', filter.id)
  add('cause = ?', filter.cause)
  add('dependency = ?', filter.dependency)
  add('died_at >= ?', filter.since?.getTime())
  add('died_at < ?', filter.until?.getTime())
  return { clause: where.length > 0 ? `where ${where.join(' and ')}` : '', params }
}

export async function listDeadLetters(
  connection: MyConnection,
  filter: DeadLetterFilter,
): Promise<readonly DeadLetter[]> {
  const { clause, params } = whereOf(filter)
  const rows = await connection.all(
    `select * from waybill_dead_letters ${clause} order by died_at, message_id limit ?`,
    ...params,
    Math.min(filter.limit ?? limitDefault, limitMax),
  )
  return rows.map((row) => ({
    group: row['grp'],
    id: row['message_id'],
    topic: row['topic'],
    tag: row['tag'],
    key: row['msg_key'],
    shardingKey: row['sharding_key'],
    cause: row['cause'],
    because: row['because'],
    dependency: row['dependency'],
    attempts: row['attempts'],
    generation: row['generation'],
    publishedAt: row['published_at'],
    diedAt: row['died_at'],
  }))
}

export async function redrive(
  connection: MyConnection,
  selection: readonly DeadLetterKey[],
  note: AuditNote,
): Promise<number> {
  let count = 0
  refuseCollisions(selection)
  const selected = await inLogOrder(connection, selection)
  await lockKeys(connection, selected.flatMap(withKey))
  for (const { group, id, ...message } of selected) {
    // Behind an earlier one of its key it waits, or both would be due at once and a failure of the first would let it pass (P21).
    const order = (await orderOf(connection, group)) ?? unordered
    const waits = order.ordered && (await isBlocked(connection, group, message, order))
    const changed = await connection.run(
      `update waybill_dispositions set state = ?, due_at = if(?, null, waybill_now()), attempts = 0,
         generation = generation + 1, cause = null, because = null, dependency = null, at = waybill_now()
       where grp = ? and message_id = ? and state = 'dead'`,
      waits ? 'held' : 'retrying',
      waits,
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

/** @throws WaybillError `dead-letter.unknown` */
export function refuseCollisions(selection: readonly DeadLetterKey[]): void {
  const collided = selection.find(({ group }) => group === landingGroup)
  if (!collided) return
  throw new WaybillError(
    'dead-letter.unknown',
    'a message that collides with the id of another cannot be redriven; discard it, and have its publisher send it under a new id',
    { id: collided.id },
  )
}

export async function discardDead(
  connection: MyConnection,
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
    await dropCopy(connection, group, id)
    const shardingKey = row['sharding_key'] as string | null
    if (shardingKey !== null)
      await releaseFollower(
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

interface Selected extends DeadLetterKey {
  readonly topic: string
  readonly shardingKey: string | null
  readonly position: number
}

function withKey({ group, topic, shardingKey }: Selected): Parameters<typeof lockKeys>[1] {
  return shardingKey === null ? [] : [{ group, topic, shardingKey }]
}

async function inLogOrder(
  connection: MyConnection,
  selection: readonly DeadLetterKey[],
): Promise<readonly Selected[]> {
  if (selection.length === 0) return []
  const rows = await connection.all(
    `select d.grp, d.message_id, d.topic, d.sharding_key, d.pos from ${rowsOf('grp varchar(255)', 'id varchar(255)')} s
     straight_join waybill_dispositions d on d.grp = s.grp and d.message_id = s.id and d.state = 'dead' order by d.pos, d.grp`,
    JSON.stringify(selection.map(({ group, id }) => [group, id])),
  )
  const selected = rows.map((row) => ({
    group: row['grp'] as string,
    id: row['message_id'] as MessageId,
    topic: row['topic'] as string,
    shardingKey: row['sharding_key'] as string | null,
    position: row['pos'] as number,
  }))
  return selected.filter(
    ({ group, id }, i) => i === selected.findIndex((one) => one.group === group && one.id === id),
  )
}
