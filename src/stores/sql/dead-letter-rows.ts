import { WaybillError } from '../../core/errors.ts'
import type { MessageId } from '../../core/ids.ts'
import type { DeadLetter, DeadLetterFilter, DeadLetterKey } from '../../core/store.ts'
import type { Names } from './dialect.ts'
import { landingGroup } from './group-rules.ts'
import type { SqlRow, SqlValue } from './sql.ts'

/** The `where` of a filter, or nothing where it leaves nothing out. The limit is not part of it. */
export function whereOf(
  filter: DeadLetterFilter,
  names: Names,
): {
  readonly clause: string
  readonly params: readonly Exclude<SqlValue, boolean>[]
} {
  const conditions = [
    ['grp = ?', filter.group],
    ['topic = ?', filter.topic],
    [`${names.key} = ?`, filter.key],
    ['message_id = ?', filter.id],
    ['cause = ?', filter.cause],
    ['dependency = ?', filter.dependency],
    ['died_at >= ?', filter.since?.getTime()],
    ['died_at < ?', filter.until?.getTime()],
  ] as const
  const where = conditions.filter(([, value]) => value !== undefined)
  return {
    clause: where.length > 0 ? `where ${where.map(([condition]) => condition).join(' and ')}` : '',
    params: where.map(([, value]) => value!),
  }
}

export function toDeadLetter(row: SqlRow, names: Names): DeadLetter {
  return {
    group: row['grp'],
    id: row['message_id'],
    topic: row['topic'],
    tag: row['tag'],
    key: row[names.key],
    shardingKey: row['sharding_key'],
    cause: row['cause'],
    because: row['because'],
    dependency: row['dependency'],
    attempts: row['attempts'],
    generation: row['generation'],
    publishedAt: row['published_at'],
    diedAt: row['died_at'],
  }
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

/** A selected message that is dead, with what decides about its order. */
export interface SelectedLetter extends DeadLetterKey {
  readonly topic: string
  readonly shardingKey: string | null
  readonly position: number
}

export function toSelected(row: SqlRow): SelectedLetter {
  return {
    group: row['grp'],
    id: row['message_id'] as MessageId,
    topic: row['topic'],
    shardingKey: row['sharding_key'],
    position: row['pos'],
  }
}

/** Each once, however often it was selected. */
export function eachOnce<K extends DeadLetterKey>(keys: readonly K[]): readonly K[] {
  return [...new Map(keys.map((key) => [JSON.stringify([key.group, key.id]), key])).values()]
}
