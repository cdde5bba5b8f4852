import { WaybillError } from '../../core/errors.ts'
import type { NewRedrive, RedriveFilter, RedriveJob } from '../../core/redrive.ts'
import type { DeadLetterFilter, DeadLetterKey } from '../../core/store.ts'
import type { Names } from './dialect.ts'
import type { SqlRow } from './sql.ts'

/** Letters that one transaction redrives: short enough for writers that wait meanwhile. */
export const portion = 100
const portionsPerSecond = 10

/** How many letters at a time: spread over the second, but not in a transaction for each where the rate is high. */
export function portionAt(perSecond: number | null): number {
  if (perSecond === null) return portion
  return Math.max(1, Math.min(portion, Math.floor(perSecond / portionsPerSecond)))
}

/** How long after that many a job waits to keep its rate. */
export function waitAfter(redriven: number, perSecond: number | null): number {
  return perSecond === null ? 0 : Math.min(Math.ceil((redriven * 1_000) / perSecond), Number.MAX_SAFE_INTEGER)
}

/** As many of the items as have no more letters to redrive than this: those that are gone use up nothing of the rate. */
export function upTo<R extends SqlRow>(lettersMax: number, items: readonly R[]): readonly R[] {
  let letters = 0
  const end = items.findIndex((item) => item['is_dead'] && ++letters > lettersMax)
  return end < 0 ? items : items.slice(0, end)
}

export const actions = {
  running: 'resume-redrive',
  paused: 'pause-redrive',
  cancelled: 'cancel-redrive',
} as const

export function redriveUnknown(id: string): WaybillError {
  return new WaybillError('redrive.unknown', `there is no redrive ${id} in this database`, { id })
}

/** `texts`: a JSON list of texts, for `in`. */
export function whereOfJobs(
  filter: RedriveFilter,
  texts: string,
): { readonly clause: string; readonly params: readonly string[] } {
  const states = filter.states && JSON.stringify(filter.states)
  const conditions = [
    ['id = ?', filter.id],
    [`state in (${texts})`, states],
  ] as const
  const where = conditions.filter(([, value]) => value !== undefined)
  return {
    clause: where.length > 0 ? `where ${where.map(([condition]) => condition).join(' and ')}` : '',
    params: where.map(([, value]) => value!),
  }
}

export function toJob(row: SqlRow, names: Names): RedriveJob {
  return {
    id: row['id'],
    state: row['state'],
    perSecond: row['per_second'],
    order: row[names.sequence],
    by: row['actor'],
    because: row['because'],
    createdAt: row['created_at'],
    endedAt: row['ended_at'],
    total: row['total'],
    redriven: row['redriven'],
    gone: row['gone'],
  }
}

export interface FrozenLetter extends DeadLetterKey {
  readonly generation: number
  /** Messages of one lane are never redriven in another order than they were published in (P21). Null where any order will do. */
  readonly lane: string | null
}

/** A dead letter with whether its group is `ordered`. */
export function toFrozen(row: SqlRow): FrozenLetter {
  const hasLane = Boolean(row['ordered']) && row['sharding_key'] !== null
  return {
    group: row['grp'],
    id: row['message_id'],
    generation: row['generation'],
    lane: hasLane ? JSON.stringify([row['grp'], row['topic'], row['sharding_key']]) : null,
  }
}

export function isByFilter(selection: NewRedrive['selection']): selection is DeadLetterFilter {
  return !Array.isArray(selection)
}

/** The places of a lane in the job are those of its letters, newest first; in them its letters stand oldest first. */
export function newestFirst(oldestFirst: readonly FrozenLetter[]): readonly FrozenLetter[] {
  const lanes = Map.groupBy(oldestFirst, ({ lane }) => lane)
  const turns = new Map([...lanes].map(([lane, letters]) => [lane, letters.values()]))
  return oldestFirst
    .toReversed()
    .map((letter) => (letter.lane === null ? letter : turns.get(letter.lane)!.next().value!))
}
