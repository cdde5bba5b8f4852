import type { DependencyStore, ListedDependency } from '../../core/dependencies.ts'
import { silentMs, toSight } from '../sql/dependencies.ts'
import { plainNames } from '../sql/dialect.ts'
import type { SqliteAccess } from './access.ts'

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
            ...toSight(row, plainNames),
            isSilent: (row['until'] as number) < now(),
          })),
      ),
  }
}
