import type { NewRedrive } from '../../core/redrive.ts'
import type { SqlConnection } from './connection.ts'
import { eachOnce, refuseCollisions, whereOf } from './dead-letter-rows.ts'
import type { Dialect } from './dialect.ts'
import { type FrozenLetter, isByFilter, newestFirst, toFrozen } from './redrive-rows.ts'
import type { Sql } from './sql.ts'

/** A generation is a 32-bit integer to every server. */
const generationMax = 2 ** 31 - 1

/** The dead letters that a job is about, in the order in which it redrives them. */
export async function frozen(connection: SqlConnection, job: NewRedrive): Promise<readonly FrozenLetter[]> {
  const { text, params } = selected(connection.dialect, job.selection)
  const rows = await connection.all(
    `select l.grp, l.message_id, l.generation, l.topic, l.sharding_key, g.ordered
     from (${text}) l join waybill_dispositions d on d.grp = l.grp and d.message_id = l.message_id
     left join waybill_groups g on g.name = l.grp
     where l.generation < ? order by d.pos, l.grp`,
    ...params,
    Math.min(job.generationsMax, generationMax),
  )
  const oldestFirst = rows.map(toFrozen)
  refuseCollisions(oldestFirst)
  return job.order === 'oldest-first' ? oldestFirst : newestFirst(oldestFirst)
}

function selected({ names, rowsOf, join }: Dialect, selection: NewRedrive['selection']): Sql {
  if (isByFilter(selection)) {
    const { clause, params } = whereOf(selection, names)
    return { text: `select * from waybill_dead_letters ${clause}`, params }
  }
  return {
    text: `select w.* from ${rowsOf({ grp: 'text', id: 'text' })} given
      ${join} waybill_dead_letters w on w.grp = given.grp and w.message_id = given.id`,
    params: [JSON.stringify(eachOnce(selection).map(({ group, id }) => [group, id]))],
  }
}
