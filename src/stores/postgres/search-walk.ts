import type { PgConnection } from './connection.ts'
import type { PgRow } from './driver.ts'
import { runMax } from './places.ts'
import { type Walk, and, walkedPlace } from './search-queries.ts'
import { raw, sql } from '../sql/sql.ts'

/** Each round looks this much further back than the one before: in all not much more than has to be looked at. */
const widening = 4

/** A queue, and what of it is left to look at. */
interface Stretch {
  readonly n: number
  readonly reader: string | null
  readonly topic: string
  readonly queue: number
  readonly after: number
  readonly up_to: number
}

/**
 * The newest of each of the walk's queues, up to the limit, as `id` and `published_at`. In rounds, each over the next stretch of those
 * queues that have not given enough: of one statement for all the planner would make a sort over everything.
 */
export async function newestOnWalk(
  connection: PgConnection,
  { queues, conditions }: Walk,
  limit: number,
): Promise<readonly PgRow[]> {
  const hits: PgRow[] = []
  const found = new Map<number, number>()
  const rows = await connection.all(queues.text, ...queues.params)
  let left = rows.map((row, n) => ({ reader: null, ...row, n }) as unknown as Stretch)
  for (let width = limit; left.length > 0; width *= widening) {
    const round = left.map((one) => ({ ...one, after: Math.max(one.after, one.up_to - width) }))
    for (const row of await hitsIn(connection, round, conditions, limit)) {
      hits.push(row)
      found.set(row['n'], (found.get(row['n']) ?? 0) + 1)
    }
    left = left
      .map((one) => ({ ...one, up_to: one.up_to - width }))
      .filter((one) => one.up_to > one.after && (found.get(one.n) ?? 0) < limit)
  }
  return hits
}

function hitsIn(
  connection: PgConnection,
  round: readonly Stretch[],
  conditions: Walk['conditions'],
  limit: number,
): Promise<readonly PgRow[]> {
  const { text, params } = sql`select q.n, x.id, x.published_at
    from json_to_recordset((${JSON.stringify(round)}::text)::json) as q(n integer, reader text, topic text, queue integer, after bigint, up_to bigint)
    cross join lateral (
      select m.id, m.published_at from waybill_runs r cross join lateral unnest(r.positions) with ordinality p(pos, ord)
        cross join lateral (select * from waybill_messages where pos = p.pos offset 0) m
      where r.topic = q.topic and r.queue = q.queue and r.seq_to > q.after and r.seq_to < q.up_to + ${runMax}
        and ${raw(walkedPlace)} > q.after and ${raw(walkedPlace)} <= q.up_to ${and(conditions)}
      order by r.seq_to desc, p.ord desc limit ${limit}
    ) x`
  return connection.all(text, ...params)
}
