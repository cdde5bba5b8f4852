import type { NewRedrive } from '../../core/redrive.ts'
import { refuseCollisions, whereOf } from '../sql/dead-letter-rows.ts'
import { plainNames } from '../sql/dialect.ts'
import { type FrozenLetter, isByFilter, newestFirst, toFrozen } from '../sql/redrive-rows.ts'
import type { SqliteConnection } from './driver.ts'

/** The dead letters that a job is about, in the order in which it redrives them. */
export function frozen(connection: SqliteConnection, job: NewRedrive): readonly FrozenLetter[] {
  const { clause, params } = whereSelected(job.selection)
  const oldestFirst = connection
    .all(
      `select l.grp, l.message_id, l.generation, l.topic, l.sharding_key, g.ordered
       from (select * from waybill_dead_letters ${clause}) l
       join waybill_dispositions d on d.grp = l.grp and d.message_id = l.message_id
       left join waybill_groups g on g.name = l.grp
       where l.generation < ? order by d.pos, l.grp`,
      ...params,
      Math.min(job.generationsMax, Number.MAX_SAFE_INTEGER),
    )
    .map(toFrozen)
  refuseCollisions(oldestFirst)
  return job.order === 'oldest-first' ? oldestFirst : newestFirst(oldestFirst)
}

function whereSelected(selection: NewRedrive['selection']): ReturnType<typeof whereOf> {
  if (isByFilter(selection)) return whereOf(selection, plainNames)
  return {
    clause: 'where (grp, message_id) in (select value ->> 0, value ->> 1 from json_each(?))',
    params: [JSON.stringify(selection.map(({ group, id }) => [group, id]))],
  }
}
