import type { NewRedrive } from '../../core/redrive.ts'
import type { DeadLetterFilter, DeadLetterKey } from '../../core/store.ts'
import type { MyConnection } from './connection.ts'
import { refuseCollisions, whereOf } from './dead-letters.ts'
import type { MyValue } from './driver.ts'
import { rowsOf } from './rows.ts'

export interface FrozenLetter extends DeadLetterKey {
  readonly generation: number
  /** Messages of one lane are never redriven in another order than they were published in (P21). Null where any order will do. */
  readonly lane: string | null
}

/** The dead letters that a job is about, in the order in which it redrives them. */
export async function frozen(connection: MyConnection, job: NewRedrive): Promise<readonly FrozenLetter[]> {
  const { from, params } = fromSelection(job.selection)
  const rows = await connection.all(
    `select l.grp, l.message_id, l.generation, l.topic, l.sharding_key, g.ordered
     from ${from} l join waybill_dispositions d on d.grp = l.grp and d.message_id = l.message_id
     left join waybill_groups g on g.name = l.grp
     where l.generation < ? order by d.pos, l.grp`,
    ...params,
    Math.min(job.generationsMax, Number.MAX_SAFE_INTEGER),
  )
  const oldestFirst = rows.map((row): FrozenLetter => ({
    group: row['grp'],
    id: row['message_id'],
    generation: row['generation'],
    lane:
      row['ordered'] === 1 && row['sharding_key'] !== null
        ? JSON.stringify([row['grp'], row['topic'], row['sharding_key']])
        : null,
  }))
  refuseCollisions(oldestFirst)
  return job.order === 'oldest-first' ? oldestFirst : newestFirst(oldestFirst)
}

function fromSelection(selection: NewRedrive['selection']): {
  readonly from: string
  readonly params: readonly MyValue[]
} {
  if (isByFilter(selection)) {
    const { clause, params } = whereOf(selection)
    return { from: `(select * from waybill_dead_letters ${clause})`, params }
  }
  return {
    from: `(select distinct l.* from ${rowsOf('grp varchar(255)', 'id varchar(255)')} given straight_join waybill_dead_letters l on l.grp = given.grp and l.message_id = given.id)`,
    params: [JSON.stringify(selection.map(({ group, id }) => [group, id]))],
  }
}

function isByFilter(selection: NewRedrive['selection']): selection is DeadLetterFilter {
  return !Array.isArray(selection)
}

/** The places of a lane in the job are those of its letters, newest first; in them its letters stand oldest first. */
function newestFirst(oldestFirst: readonly FrozenLetter[]): readonly FrozenLetter[] {
  const lanes = Map.groupBy(oldestFirst, ({ lane }) => lane)
  const turns = new Map([...lanes].map(([lane, letters]) => [lane, letters.values()]))
  return oldestFirst
    .toReversed()
    .map((letter) => (letter.lane === null ? letter : turns.get(letter.lane)!.next().value!))
}
