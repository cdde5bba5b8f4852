import type { QueueName } from '../../core/store.ts'

/** The most positions that a run holds. Never make it smaller: what ends a look into the index of runs is that none is longer. */
export const runMax = 2_000

/**
 * The places of a queue after one and up to another, as rows of (seq, pos). The sequence is dense, so that a range of it is a limit.
 * The index has the ends of runs: without a bound for them a reader that is behind would look at every run that came since.
 * Bind with `rangeOf`.
 */
export const places = `(select r.seq_from + p.ord - 1 as seq, p.pos from waybill_runs r, unnest(r.positions) with ordinality p(pos, ord)
  where r.topic = ? and r.queue = ? and r.seq_to > ? and r.seq_to < ?::bigint + ${runMax} and r.seq_from <= ? and r.seq_from + p.ord - 1 > ? and r.seq_from + p.ord - 1 <= ?)`

/** The rows at those places. The lateral keeps the planner from reading the whole log for a join. */
export const atPlaces = `${places} x cross join lateral (select * from waybill_messages where pos = x.pos offset 0) m`

/**
 * The place of a row of the log, from the row. What no window holds yet will come after all that one does. The inner `offset 0` keeps
 * the planner from reading all runs of the queue instead of the index of their ranges.
 */
export function placeOf(row: string): string {
  return `coalesce((
      select r.seq_from + array_position(r.positions, ${row}.pos) - 1 from (
        select * from waybill_runs where int8range(first_pos, positions[cardinality(positions)], '[]') @> ${row}.pos offset 0
      ) r where r.topic = ${row}.topic and r.queue = ${row}.queue and array_position(r.positions, ${row}.pos) is not null
    ), (select seq + 1 from waybill_ends where topic = ${row}.topic and queue = ${row}.queue), 1)`
}

export type Range = readonly [string, number, number, number, number, number, number]

export function rangeOf({ topic, queue }: QueueName, after: number, upTo: number): Range {
  return [topic, queue, after, upTo, upTo, after, upTo]
}
