import type { AuditNote, DeadLetter, DeadLetterFilter, DeadLetterKey } from '../../core/store.ts'
import {
  type SelectedLetter,
  refuseCollisions,
  toDeadLetter,
  toSelected,
  whereOf,
} from '../sql/dead-letter-rows.ts'
import { plainNames } from '../sql/dialect.ts'
import { unordered } from '../sql/group-rules.ts'
import { limitOf } from '../sql/limit.ts'
import { audit } from './audit.ts'
import { dropCopy, isBlocked, releaseFollower } from './dispositions.ts'
import type { SqliteConnection } from './driver.ts'
import { orderOf } from './groups.ts'

export function listDeadLetters(
  connection: SqliteConnection,
  filter: DeadLetterFilter,
): readonly DeadLetter[] {
  const { clause, params } = whereOf(filter, plainNames)
  return connection
    .all(
      `select * from waybill_dead_letters ${clause} order by died_at, message_id limit ?`,
      ...params,
      limitOf(filter),
    )
    .map((row) => toDeadLetter(row, plainNames))
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
      "update waybill_dispositions set state = ?, due_at = ?, attempts = 0, generation = generation + 1, cause = null, because = null, dependency = null, at = ? where grp = ? and message_id = ? and state = 'dead'",
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

function inLogOrder(
  connection: SqliteConnection,
  selection: readonly DeadLetterKey[],
): readonly SelectedLetter[] {
  return selection
    .flatMap(({ group, id }) =>
      connection.all(
        "select grp, message_id, topic, sharding_key, pos from waybill_dispositions where grp = ? and message_id = ? and state = 'dead'",
        group,
        id,
      ),
    )
    .map(toSelected)
    .sort((a, b) => a.position - b.position)
}
