import { type ErrorCode, WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { AuditNote, DeadLetter, DeadLetterFilter, DeadLetterKey } from '../../core/store.ts'
import { audit } from './audit.ts'
import { dropCopy, isBlocked, releaseFollower } from './dispositions.ts'
import type { SqlValue, SqliteConnection } from './driver.ts'
import { landingGroup, orderOf, unordered } from './groups.ts'

const limitDefault = 100
const limitMax = 1_000

/** The `where` of a filter, or nothing where it leaves nothing out. The limit is not part of it. */
export function whereOf(filter: DeadLetterFilter): {
  readonly clause: string
  readonly params: readonly SqlValue[]
} {
  const where: string[] = []
  const params: SqlValue[] = []
  const add = (condition: string, value: SqlValue | undefined): void => {
    if (value === undefined) return
    where.push(condition)
    params.push(value)
  }
  add('grp = ?', filter.group)
  add('topic = ?', filter.topic)
  add('key = ?', filter.key)
  add('message_id = ?', filter.id)
  add('cause = ?', filter.cause)
  add('dependency = ?', filter.dependency)
  add('died_at >= ?', filter.since?.getTime())
  add('died_at < ?', filter.until?.getTime())
  return { clause: where.length > 0 ? `where ${where.join(' and ')}` : '', params }
}

export function listDeadLetters(
  connection: SqliteConnection,
  filter: DeadLetterFilter,
): readonly DeadLetter[] {
  const { clause, params } = whereOf(filter)
  return connection
    .all(
      `select * from waybill_dead_letters ${clause} order by died_at, message_id limit ?`,
      ...params,
      Math.min(filter.limit ?? limitDefault, limitMax),
    )
    .map((row) => ({
      group: row['grp'] as string,
      id: row['message_id'] as MessageId,
      topic: row['topic'] as string,
      tag: row['tag'] as string | null,
      key: row['key'] as string | null,
      shardingKey: row['sharding_key'] as string | null,
      cause: row['cause'] as ErrorCode,
      because: row['because'] as string,
      dependency: row['dependency'] as string | null,
      attempts: row['attempts'] as number,
      generation: row['generation'] as number,
      publishedAt: row['published_at'] as number,
      diedAt: row['died_at'] as number,
    }))
}

export function redrive(
  connection: SqliteConnection,
  selection: readonly DeadLetterKey[],
  note: AuditNote,
  now: number,
): number {
  let count = 0
  refuseCollisions(selection)
  for (const { group, id, ...message } of inLogOrder(connection, selection)) {
    // Behind an earlier one of its key it waits, or both would be due at once and a failure of the first would let it pass (P21).
    const order = orderOf(connection, group) ?? unordered
    const waits = order.ordered && isBlocked(connection, group, message, order)
    const changed = connection.run(
      "update waybill_dispositions set state = ?, due_at = ?, attempts = 0, generation = generation + 1, cause = null, because = null, at = ? where grp = ? and message_id = ? and state = 'dead'",
      waits ? 'held' : 'retrying',
      waits ? null : now,
      now,
      group,
      id,
    )
    if (changed === 0) continue
    connection.run('delete from waybill_dead_letters where grp = ? and message_id = ?', group, id)
    audit(connection, 'redrive', { group, id }, note, now)
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

export function discardDead(
  connection: SqliteConnection,
  selection: readonly DeadLetterKey[],
  note: AuditNote,
  now: number,
): number {
  let count = 0
  for (const { group, id } of selection) {
    const row = connection.all(
      "update waybill_dispositions set state = 'discarded', because = ?, at = ? where grp = ? and message_id = ? and state = 'dead' returning topic, sharding_key",
      note.because,
      now,
      group,
      id,
    )[0]
    if (!row) continue
    connection.run('delete from waybill_dead_letters where grp = ? and message_id = ?', group, id)
    dropCopy(connection, group, id)
    const shardingKey = row['sharding_key'] as string | null
    if (shardingKey !== null)
      releaseFollower(
        connection,
        group,
        { topic: row['topic'] as string, shardingKey },
        orderOf(connection, group) ?? unordered,
        now,
      )
    audit(connection, 'discard', { group, id }, note, now)
    count++
  }
  return count
}

interface Selected extends DeadLetterKey {
  readonly topic: string
  readonly shardingKey: string | null
  readonly position: number
}

function inLogOrder(connection: SqliteConnection, selection: readonly DeadLetterKey[]): readonly Selected[] {
  return selection
    .flatMap((key) => {
      const row = connection.all(
        "select topic, sharding_key, pos from waybill_dispositions where grp = ? and message_id = ? and state = 'dead'",
        key.group,
        key.id,
      )[0]
      return row
        ? [
            {
              ...key,
              topic: row['topic'] as string,
              shardingKey: row['sharding_key'] as string | null,
              position: row['pos'] as number,
            },
          ]
        : []
    })
    .sort((a, b) => a.position - b.position)
}
