import type { DependencyState, DependencyStore, ListedDependency } from '../../core/dependencies.ts'
import type { SqliteAccess } from './access.ts'

/** How long what an instance said is kept after it has fallen silent. */
const silentMs = 24 * 3_600_000

export function dependencyStore({ read, write, now }: SqliteAccess): DependencyStore {
  return {
    report: (sight) =>
      write((connection) => {
        connection.run('delete from waybill_dependencies where until < ?', now() - silentMs)
        connection.run(
          `insert into waybill_dependencies (name, owner, service, state, since, because, groups, until) values (?, ?, ?, ?, ?, ?, ?, ?)
           on conflict do update set state = excluded.state, since = excluded.since, because = excluded.because, groups = excluded.groups, until = excluded.until`,
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
      write((connection) => {
        connection.run('delete from waybill_dependencies where owner = ?', owner)
      }),
    list: async () =>
      read((connection) =>
        connection
          .all('select * from waybill_dependencies order by name, owner')
          .map((row): ListedDependency => ({
            name: row['name'] as string,
            owner: row['owner'] as string,
            service: row['service'] as string,
            state: row['state'] as DependencyState,
            since: row['since'] as number,
            because: row['because'] as string | null,
            groups: JSON.parse(row['groups'] as string) as string[],
            until: row['until'] as number,
            isSilent: (row['until'] as number) < now(),
          })),
      ),
  }
}
