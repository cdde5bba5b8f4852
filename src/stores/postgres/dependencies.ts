import type { DependencyStore, ListedDependency } from '../../core/dependencies.ts'
import type { PgAccess } from './access.ts'

/** How long what an instance said is kept after it has fallen silent. */
const silentMs = 24 * 3_600_000

export function dependencyStore({ read, write }: PgAccess): DependencyStore {
  return {
    report: (sight) =>
      write(async (connection) => {
        await connection.run(
          'delete from waybill_dependencies where until < waybill_now() - ?::bigint',
          silentMs,
        )
        await connection.run(
          `insert into waybill_dependencies (name, owner, service, state, since, because, groups, until) values (?, ?, ?, ?, ?, ?, ?, ?)
           on conflict (name, owner) do update set state = excluded.state, since = excluded.since, because = excluded.because, groups = excluded.groups, until = excluded.until`,
          sight.name,
          sight.owner,
          sight.service,
          sight.state,
          sight.since,
          sight.because,
          JSON.stringify(sight.groups),
          sight.until,
        )
      }),
    withdraw: (owner) =>
      write(async (connection) => {
        await connection.run('delete from waybill_dependencies where owner = ?', owner)
      }),
    list: async () => {
      const rows = await read.all(
        'select *, until < waybill_now() as is_silent from waybill_dependencies order by name, owner',
      )
      return rows.map((row): ListedDependency => ({
        name: row['name'],
        owner: row['owner'],
        service: row['service'],
        state: row['state'],
        since: row['since'],
        because: row['because'],
        groups: JSON.parse(row['groups']),
        until: row['until'],
        isSilent: row['is_silent'],
      }))
    },
  }
}
