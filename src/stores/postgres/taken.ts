/**
 * Which places of its queues a group has taken from the log, as ranges: a run of messages that was claimed together is one row, however
 * many they are (P3). A place is taken once, whoever tries at the same time: an exclusion constraint sees to it, also against a claim
 * that is not committed yet. What became of a message that was taken says its disposition; it is *done* where it has none.
 *
 * A range tells only of what the log still holds: what is dropped from it leaves dispositions behind, which are found by id.
 */

/** When a lane's place was taken, or null. Both are columns. The first range that ends there or later is the only one that may have it. */
export function takenAt(lane: string, place: string): string {
  return `(select t.at from (
      select seq_from, at from waybill_taken where lane = ${lane} and seq_to >= ${place} order by seq_to limit 1
    ) t where t.seq_from <= ${place})`
}

/** When a group took a message of the log that has this place; null if it has not. All three are columns, not parameters. */
export function whenTaken(group: string, message: string, place: string): string {
  return `(select ${takenAt('lanes.lane', place)} from waybill_leases lanes
    where lanes.reader = ${group} and lanes.topic = ${message}.topic and lanes.queue = ${message}.queue)`
}

/** The state of a message of the log that has this place; null if the group has done nothing about it. Columns, not parameters. */
export function stateOf(group: string, message: string, place: string): string {
  return `coalesce(
    (select d.state from waybill_dispositions d where d.grp = ${group} and d.message_id = ${message}.id),
    case when ${whenTaken(group, message, place)} is not null then 'done' end)`
}

/** Runs of places that follow each other. */
export function runsOf(places: readonly number[]): readonly { readonly from: number; to: number }[] {
  const runs: { from: number; to: number }[] = []
  for (const place of places.toSorted((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last && place <= last.to + 1) last.to = place
    else runs.push({ from: place, to: place })
  }
  return runs
}

/** What is taken within a range of a queue. Bind where it begins, one more than its length, reader, topic and queue. */
export const takenWithin = `select t.seq_from, t.seq_to from waybill_leases l
    cross join lateral (select seq_from, seq_to from waybill_taken where lane = l.lane and seq_to > ? order by seq_to limit ?) t
  where l.reader = ? and l.topic = ? and l.queue = ?`

/** Takes what is free, while the fence holds. Bind the ends of the ranges and `fenceParams`; more conditions may follow. */
export const takeRanges = `insert into waybill_taken (lane, seq_from, seq_to, at)
  select l.lane, given.seq_from, given.seq_to, waybill_now() from waybill_leases l,
    unnest((?::text)::bigint[], (?::text)::bigint[]) as given(seq_from, seq_to)
  where l.reader = ? and l.topic = ? and l.queue = ? and l.owner = ? and l.fence = ? and waybill_is_awake()`

/** Takes one place for what is about to get a disposition. Bind twice the place, then reader, topic and queue. */
export const takeOne = `insert into waybill_taken (lane, seq_from, seq_to, at)
  select lane, ?::bigint, ?::bigint, waybill_now() from waybill_leases where reader = ? and topic = ? and queue = ? and reader not like '@%'
  on conflict do nothing returning lane`
