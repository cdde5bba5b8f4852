import type { DependencySight, DependencyStore } from '../../core/dependencies.ts'
import type { SqlAccess, SqlConnection } from './connection.ts'
import type { Names } from './dialect.ts'
import type { SqlRow } from './sql.ts'

/** How long what an instance said is kept after it has fallen silent. */
export const silentMs = 24 * 3_600_000

export function dependencyStore<C extends SqlConnection>({ read, write }: SqlAccess<C>): DependencyStore {
  return {
    report: (sight) => write((connection) => report(connection, sight)),
    withdraw: (owner) =>
      write(async (connection) => {
        await connection.run('delete from waybill_dependencies where owner = ?', owner)
      }),
    list: async () => {
      const { names } = read.dialect
      const rows = await read.all(
        `select d.*, ${names.until} < waybill_now() as is_silent from waybill_dependencies d order by name, owner`,
      )
      return rows.map((row) => ({ ...toSight(row, names), isSilent: Boolean(row['is_silent']) }))
    },
  }
}

async function report(connection: SqlConnection, sight: DependencySight): Promise<void> {
  const { names, upsert } = connection.dialect
  await connection.run(`delete from waybill_dependencies where ${names.until} < waybill_now() - ${silentMs}`)
  await connection.run(
    upsert(
      `waybill_dependencies (name, owner, service, state, since, because, ${names.groups}, ${names.until}) values (?, ?, ?, ?, ?, ?, ?, ?)`,
      'name, owner',
      ['state', 'since', 'because', names.groups, names.until],
    ),
    sight.name,
    sight.owner,
    sight.service,
    sight.state,
    sight.since,
    sight.because,
    JSON.stringify(sight.groups),
    sight.until,
  )
}

export function toSight(row: SqlRow, names: Names): DependencySight {
  return {
    name: row['name'],
    owner: row['owner'],
    service: row['service'],
    state: row['state'],
    since: row['since'],
    because: row['because'],
    groups: JSON.parse(row[names.groups]) as string[],
    until: row[names.until],
  }
}
