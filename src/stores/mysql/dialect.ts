import type { Dialect } from '../sql/dialect.ts'
import { sql } from '../sql/sql.ts'
import { lockOf, takeLock } from './locks.ts'
import { names, rowsOf, texts } from './rows.ts'
import { inLane, stateInLane } from './taken.ts'

const types = { text: 'varchar(255)', integer: 'integer', bigint: 'bigint' } as const

export const dialect: Dialect = {
  names,
  texts,
  join: 'straight_join',
  rowsOf: (columns) => rowsOf(...Object.entries(columns).map(([name, type]) => `${name} ${types[type]}`)),
  insertNew: (into) => `insert ignore into ${into}`,
  upsert: (into, _key, columns) =>
    `insert into ${into} on duplicate key update ${columns.map((column) => `${column} = values(${column})`).join(', ')}`,
  updateFrom: (rows, table, set, where) => {
    const assigned = Object.entries(set).map(([column, value]) => `t.${column} = ${value}`)
    return `update ${rows} given straight_join ${table} t on ${where} set ${assigned.join(', ')}`
  },
  lockGroup: (group) => takeLock(lockOf('group', group)),
  firstSince: ({ topic, queue }, at) =>
    sql`select min(seq) as seq from waybill_messages where topic = ${topic} and queue = ${queue} and seq > 0 and eligible_at >= ${at}`,
  settledWithin: ({ topic, queue }, after, upTo, group) => ({
    text: `select count(*) as n from ${inLane} and m.seq > ? and m.seq <= ? and ${stateInLane} is not null`,
    params: [group, topic, queue, after, upTo],
  }),
}
