import type { Dialect } from '../sql/dialect.ts'
import { sql } from '../sql/sql.ts'
import { atPlaces, rangeOf } from './places.ts'
import { names, texts } from './rows.ts'
import { stateOf } from './taken.ts'

export const dialect: Dialect = {
  names,
  texts,
  join: 'join',
  rowsOf: (columns) => {
    const listed = Object.entries(columns).map(([name, type], i) => `(value ->> ${i})::${type} as ${name}`)
    // Text first: some drivers encode what they think is JSON once more.
    return `(select ${listed.join(', ')}, ord from json_array_elements((?::text)::json) with ordinality as lists(value, ord))`
  },
  insertNew: (into) => `insert into ${into} on conflict do nothing`,
  upsert: (into, key, columns) =>
    `insert into ${into} on conflict (${key}) do update set ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}`,
  updateFrom: (rows, table, set, where) => {
    const assigned = Object.entries(set).map(([column, value]) => `${column} = ${value}`)
    return `update ${table} t set ${assigned.join(', ')} from ${rows} given where ${where}`
  },
  lockGroup: (group) => sql`select pg_advisory_xact_lock(hashtextextended(${group}, 7261847006))`,
  firstSince: ({ topic, queue }, at) =>
    sql`select min(r.seq_from + p.ord - 1) as seq from waybill_runs r, unnest(r.positions) with ordinality p(pos, ord)
      where r.topic = ${topic} and r.queue = ${queue} and exists (select 1 from waybill_messages m where m.pos = p.pos and m.eligible_at >= ${at})`,
  settledWithin: (queue, after, upTo, group) => ({
    text: `select count(*) as n from ${atPlaces} cross join (select ?::text as name) g where ${stateOf('g.name', 'm', 'x.seq')} is not null`,
    params: [...rangeOf(queue, after, upTo), group],
  }),
}
